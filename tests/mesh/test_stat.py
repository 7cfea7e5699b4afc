"""Figures by workload, from proxies behind a real port-forward; what may not be read is unknown and hides nothing else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from e2e.mesh.installation import Installation
from interceptor.mesh.sources.model import NoFigures, Query
from interceptor.mesh.sources.proxies import Proxies
from interceptor.session.access import open_cluster
from interceptor.session.options import Access
from interceptor.session.stat import Look, StatOptions, measure
from tests.leaving import clean_up
from tests.mesh.api import MeshApi
from tests.mesh.cluster import DATA, kubeconfig, pod

IN = 'direction="inbound",target_port="8080",route_kind="default",route_name="default"'


class Proxy:
    """What every pod's admin port leads to: counters that grow by ten with each scrape."""

    def __init__(self) -> None:
        self.scrapes = 0
        self.status = 200

    async def metrics(self, _: web.Request) -> web.Response:
        self.scrapes += 1
        text = f"""
response_total{{{IN},status_code="200",classification="success"}} {9 * 10**6 * self.scrapes}
response_total{{{IN},status_code="500",classification="failure"}} {10**6 * self.scrapes}
tcp_open_connections{{direction="inbound",peer="src",target_port="8080"}} 2
process_start_time_seconds {time.time() - 3600}
"""
        return web.Response(text=text, status=self.status)


@pytest_asyncio.fixture
async def proxy(api: MeshApi) -> AsyncIterator[Proxy]:
    found = Proxy()
    app = web.Application()
    app.router.add_get("/metrics", found.metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.proxy_port = runner.addresses[0][1]
    yield found
    await clean_up(runner)


@pytest.fixture(autouse=True)
def _owned(api: MeshApi) -> None:
    """The pods have the owners that a Deployment's have."""
    for item, _ in api.objects:
        if item["kind"] == "Pod":
            name, template, _ = item["metadata"]["name"].rsplit("-", 2)
            item["metadata"].setdefault("labels", {})["pod-template-hash"] = template
            owner = {"kind": "ReplicaSet", "name": f"{name}-{template}", "controller": True}
            item["metadata"]["ownerReferences"] = [owner]


async def look(api: MeshApi, folder: Path, *targets: str, **options: Any) -> Look:
    access = Access(kubeconfig(folder, api.url))
    async with aclosing(measure(StatOptions(targets, window=0.05, access=access, **options))) as looks:
        return await anext(looks)


def rows(found: Look) -> dict[str, Any]:
    return {row.title: row for row in found.rows}


async def test_every_workload_of_a_namespace(api: MeshApi, proxy: Proxy, tmp_path: Path) -> None:
    found = await look(api, tmp_path)
    web = rows(found)["deploy/web"]
    assert (web.meshed, len(web.running), web.source) == (2, 2, "proxies")
    assert web.table.whole.success_rate == pytest.approx(0.9)
    assert (web.table.connections, web.table.source) == (4, "the Linkerd proxies of 2 pods")
    assert found.unknown == []
    assert {row.namespace for row in found.rows} == {DATA}


async def test_all_namespaces(api: MeshApi, proxy: Proxy, tmp_path: Path) -> None:
    found = await look(api, tmp_path, "deploy", all_namespaces=True)
    assert {row.namespace for row in found.rows} == {"shop", "linkerd"}
    assert {row.kind for row in found.rows} == {"deploy"}


async def test_unmeshed_is_shown(api: MeshApi, proxy: Proxy, installed: Installation, tmp_path: Path) -> None:
    bare = pod(installed, "plain-d4fff7cfd-aaaaa")
    bare["metadata"]["namespace"] = DATA
    bare["spec"].pop("initContainers", None)
    bare["spec"]["containers"] = [one for one in bare["spec"]["containers"] if one["name"] != "linkerd-proxy"]
    api.objects.append((bare, DATA))
    (found,) = [row for row in (await look(api, tmp_path)).rows if "plain" in row.name]
    assert (found.meshed, len(found.running), found.table, found.unknown) == (0, 1, None, "")


async def test_no_answer_is_unknown(api: MeshApi, tmp_path: Path) -> None:
    found = rows(await look(api, tmp_path))
    assert found["deploy/web"].table is None
    assert "no proxy of deploy/web can be asked" in found["deploy/web"].unknown


async def test_refused_lists_are_unknown(api: MeshApi, proxy: Proxy, tmp_path: Path) -> None:
    api.refused = {"deployments"}
    found = await look(api, tmp_path)
    assert rows(found)["deploy/web"].table is not None
    assert [text.partition(":")[0] for text in found.unknown] == ["deployments of namespace shop"]


async def test_figures_since_the_proxies_began(api: MeshApi, proxy: Proxy, tmp_path: Path) -> None:
    """What a session takes at the swap: one scrape, both directions."""
    access = Access(kubeconfig(tmp_path, api.url))
    queries = [Query(DATA, "Deployment", "web", 600.0, outward=outward) for outward in (False, True)]
    async with open_cluster(access) as cluster:
        pods = [
            item for item, _ in api.objects if item["kind"] == "Pod" and item["metadata"]["name"].startswith("web-")
        ]
        inbound, outbound = await Proxies(cluster, pods).so_far(queries)
        assert inbound.source == "the Linkerd proxies of 2 of 2 pods, since they began"
        assert inbound.seconds == pytest.approx(3600, abs=60)
        assert [route.total for route in inbound.routes] == [
            3 * 10**7
        ]  # the first scrape of one, the second of the other
        assert outbound.routes == []
        proxy.status = 500
        with pytest.raises(NoFigures, match="it answers 500"):
            await Proxies(cluster, pods).so_far(queries)
        with pytest.raises(NoFigures, match="no pod of deploy/web had a mesh proxy"):
            await Proxies(cluster, []).so_far(queries)
