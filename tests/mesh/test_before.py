"""A session asks what the pods that it exchanges have counted, and tells its `routes`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from interceptor.mesh.sources.model import Query, Table
from interceptor.mesh.sources.observed import Observed
from interceptor.mesh.traffic.hub import Hub
from interceptor.mesh.traffic.sockets import running
from interceptor.session.access import open_cluster
from interceptor.session.before import MISSING, Before, nothing_yet, take
from interceptor.session.control import Control
from interceptor.session.options import Access
from interceptor.session.pods import Pods
from interceptor.workload.kinds import DEPLOYMENT, WorkloadRef
from tests.mesh.api import MeshApi
from tests.mesh.cluster import DATA, kubeconfig
from tests.mesh.test_stat import Proxy, proxy
from tests.session.scene import Recorder

__all__ = ["proxy"]

REF = WorkloadRef(DEPLOYMENT, DATA, "web")
WORKLOAD = {"kind": "Deployment", "spec": {"selector": {"matchLabels": {"app": "web"}}}}


async def taken(api: MeshApi, folder: Path) -> Before:
    before = nothing_yet()
    for number, (item, _) in enumerate(api.objects):
        item["metadata"]["uid"] = f"uid-{number}"
    async with open_cluster(Access(kubeconfig(folder, api.url))) as cluster, asyncio.TaskGroup() as group:
        pods = Pods(cluster, REF, WORKLOAD, "app")
        watching = group.create_task(pods.watch(), name="watch")
        await take(cluster, REF, pods, before)
        watching.cancel()
    return before


def remove_proxies(api: MeshApi) -> None:
    for item, _ in api.objects:
        if item["kind"] == "Pod":
            for place in ("initContainers", "containers"):
                item["spec"][place] = [one for one in item["spec"].get(place, []) if one["name"] != "linkerd-proxy"]


async def shown(before: Before) -> Table:
    """What `routes` gets of it."""
    about = {"session": "web-before", "server": "s", "namespace": DATA, "kind": "Deployment", "name": "web"}
    async with asyncio.TaskGroup() as group:
        control = Control(Hub(), about, Recorder(), before)
        serving = group.create_task(control.serve(), name="control")
        await control.listening.wait()
        (session,) = [one for one in await running() if one.session == "web-before"]
        table = await Observed(session).routes(Query(DATA, "Deployment", "web", 30.0))
        serving.cancel()
    return table


async def test_what_the_proxies_counted(api: MeshApi, proxy: Proxy, tmp_path: Path) -> None:
    table = await shown(await taken(api, tmp_path))
    assert table.before is not None
    assert table.before.source == "the Linkerd proxies of 2 of 2 pods, since they began"
    assert sum(route.total for route in table.before.routes) == 3 * 10**7
    assert table.no_before == ""


async def test_without_a_mesh(api: MeshApi, tmp_path: Path) -> None:
    remove_proxies(api)
    before = await taken(api, tmp_path)
    assert before == {MISSING: "no pod of deploy/web had a mesh proxy that counted"}
    assert not [path for path in api.asked if path == "/api/v1/pods"]  # nor is a Prometheus looked for
    table = await shown(before)
    assert (table.before, table.no_before) == (None, "no pod of deploy/web had a mesh proxy that counted")


async def test_proxies_that_do_not_answer(api: MeshApi, tmp_path: Path) -> None:
    before = await taken(api, tmp_path)
    assert list(before) == [MISSING]
    assert "no proxy of deploy/web could be asked" in str(before[MISSING])
    assert str(before[MISSING]).endswith("and no Prometheus was found")


async def test_until_they_answered() -> None:
    assert (await shown(nothing_yet())).no_before == "they are being asked for"
