"""`log-level` from typed words to levels on a proxy: for good, for a while, after a death, refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytest

from interceptor.cli.log_lines import TextSink
from interceptor.cli.report import open_teller
from interceptor.errors import InterceptorError, UsageError
from interceptor.kube import Cluster
from interceptor.kube.logs import LogLine
from interceptor.mesh.loglevel import record
from interceptor.mesh.loglevel.linkerd import LinkerdAdmin
from interceptor.mesh.loglevel.model import Back, Sidecar
from interceptor.mesh.loglevel.proxies import Level
from interceptor.mesh.loglevel.record import Change, Record
from interceptor.session.events import Event
from interceptor.session.log_level import LogLevelOptions, log_level
from interceptor.session.options import Access
from interceptor.session.repair import repair_all
from interceptor.workload.allowed import MissingRights
from tests.mesh.api import MeshApi
from tests.mesh.cluster import DATA
from tests.mesh.loglevel.conftest import FIRST, GIVEN, pod_of


class Told:
    """Keeps what a run shows."""

    def __init__(self) -> None:
        self.seen: list[Level] = []
        self.backs: list[Back] = []
        self.notes: list[str] = []
        self.set = asyncio.Event()

    def levels(self, workload: str, namespace: str, levels: Sequence[Level]) -> None:
        assert namespace == DATA
        self.seen += levels
        self.set.set()

    async def line(self, pod: str, line: LogLine) -> None:
        self.notes.append(line.text)

    def back(self, change: Change, back: Back) -> None:
        self.backs.append(back)

    def note(self, text: str) -> None:
        self.notes.append(text)


async def run(access: Access, target: str, level: str = "", **more: Any) -> Told:
    told = Told()
    assert await log_level(LogLevelOptions(target, level, access=access, **more), told) == 0
    return told


async def test_look_changes_nothing(access: Access, orders: str) -> None:
    told = await run(access, orders)
    assert [(level.before, level.now) for level in told.seen] == [(FIRST, None)]
    assert record.all_left() == []


async def test_level_stays(cluster: Cluster, access: Access, orders: str, linkerd: Sidecar) -> None:
    told = await run(access, orders, "debug")
    assert [level.now for level in told.seen] == [await LinkerdAdmin(cluster, linkerd).read()] != [FIRST]
    assert record.all_left() == []
    await run(access, orders, "reset")
    assert await LinkerdAdmin(cluster, linkerd).read() == FIRST


async def test_level_goes_back_by_itself(access: Access, orders: str) -> None:
    told = await run(access, orders, "trace", seconds=0.2)
    assert told.seen[0].now != FIRST
    assert told.backs == [Back("back", FIRST)]
    assert record.all_left() == []


async def test_cancelling_puts_back(cluster: Cluster, access: Access, orders: str, linkerd: Sidecar) -> None:
    told = Told()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(log_level(LogLevelOptions(orders, "trace", 60, access=access), told), name="run")
        await told.set.wait()
        assert await LinkerdAdmin(cluster, linkerd).read() != FIRST
        running.cancel()
    assert told.backs == [Back("back", FIRST)]
    assert await LinkerdAdmin(cluster, linkerd).read() == FIRST


async def test_next_run_heals(cluster: Cluster, access: Access, orders: str, linkerd: Sidecar) -> None:
    admin = LinkerdAdmin(cluster, linkerd)
    await dead_run(cluster, access, linkerd)
    told = await run(access, orders)
    assert "left log levels of deploy/orders raised; put back now: orders-1" in told.notes[0]
    assert [level.before for level in told.seen] == [FIRST]
    assert await admin.read() == FIRST
    assert record.all_left() == []


async def test_restore_heals(
    cluster: Cluster, access: Access, linkerd: Sidecar, orders: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await dead_run(cluster, access, linkerd)
    with open_teller("text") as teller:
        assert await repair_all(access, teller) == 0
    assert "put back now: orders-1" in capsys.readouterr().err
    assert await LinkerdAdmin(cluster, linkerd).read() == FIRST


async def test_gone_pods_are_forgotten(
    api: MeshApi, cluster: Cluster, access: Access, linkerd: Sidecar, orders: str
) -> None:
    await dead_run(cluster, access, linkerd)
    api.proxy_port = 0
    api.remove("Pod", "orders-1")
    with pytest.raises(InterceptorError, match="deploy/orders has no pods"):
        await run(access, orders)
    assert record.all_left() == []


async def test_unreachable_is_kept(
    api: MeshApi, cluster: Cluster, access: Access, linkerd: Sidecar, orders: str
) -> None:
    await dead_run(cluster, access, linkerd)
    api.proxy_port = 0
    told = Told()
    with pytest.raises(InterceptorError, match="port 4191 of pod orders-1") as failed:
        await log_level(LogLevelOptions(orders, access=access), told)
    assert "kubectl logs orders-1 -c linkerd-proxy" in failed.value.hint
    assert "is not back yet" in told.notes[0]
    assert len(record.all_left()) == 1


async def test_unmeshed_is_said(api: MeshApi, access: Access, orders: str) -> None:
    api.find("Pod", "orders-1")["spec"]["initContainers"] = []
    with pytest.raises(InterceptorError, match="deploy/orders has no mesh proxy: its containers are app") as failed:
        await run(access, orders)
    assert failed.value.hint == f"interceptor check deploy/orders -n {DATA}"


async def test_unmeshed_pod_is_left_out(api: MeshApi, access: Access, orders: str, linkerd: Sidecar) -> None:
    plain = pod_of(linkerd)
    plain["metadata"]["name"] = "orders-2"
    plain["spec"]["initContainers"] = []
    api.objects.append((plain, DATA))
    told = await run(access, orders)
    assert told.notes == ["pod orders-2 has no mesh proxy"]
    assert [level.sidecar.pod for level in told.seen] == ["orders-1"]


async def test_wrong_pod_is_said(access: Access, orders: str) -> None:
    with pytest.raises(UsageError, match="deploy/orders has no pod orders-7") as failed:
        await run(access, orders, pod="orders-7")
    assert failed.value.hint == "it has: orders-1"


async def test_missing_rights_change_nothing(
    api: MeshApi, cluster: Cluster, access: Access, orders: str, linkerd: Sidecar
) -> None:
    api.forbidden = {("create", "pods", "portforward"), ("get", "pods", "log")}
    with pytest.raises(MissingRights, match="create pods/portforward; get pods/log") as failed:
        await run(access, orders, "debug", follow=True)
    assert f"interceptor rbac --for deploy/orders --log-level -n {DATA}" in failed.value.hint
    assert await LinkerdAdmin(cluster, linkerd).read() == FIRST


async def dead_run(cluster: Cluster, access: Access, linkerd: Sidecar) -> None:
    """What a killed run leaves: a raised level, and its record, whose lock is free."""
    admin = LinkerdAdmin(cluster, linkerd)
    held = Record.begin(access=asdict(access), server=cluster.server, workload="deploy/orders", namespace=DATA)
    held.before(linkerd, await admin.read())
    held.after(linkerd, await admin.set("trace"))
    held.close(forget=False)
    assert linkerd.given == GIVEN


@pytest.mark.slow
async def test_guard_goes_on_trying(
    api: MeshApi, cluster: Cluster, access: Access, orders: str, linkerd: Sidecar
) -> None:
    """The proxy can't be reached at the end; once it can, the level goes back without us."""
    port, told = api.proxy_port, Told()

    async def cut() -> None:
        await told.set.wait()
        api.proxy_port = 0

    async with asyncio.TaskGroup() as group:
        group.create_task(cut(), name="cut")
        with pytest.raises(InterceptorError, match="the level could not be put back") as failed:
            await log_level(LogLevelOptions(orders, "trace", 1, access=access), told)
    assert "goes on trying for 30 min" in failed.value.hint
    api.proxy_port = port
    async with asyncio.timeout(40):
        while record.all_left():  # noqa: ASYNC110  (another process works on it)
            await asyncio.sleep(0.1)
    assert await LinkerdAdmin(cluster, linkerd).read() == FIRST


async def test_table_shows_both(access: Access, orders: str, capsys: pytest.CaptureFixture[str]) -> None:
    options, events = LogLevelOptions(orders, "debug", 0.1, access=access), list[Event]()
    async with TextSink(options, events.append) as sink:
        assert await log_level(options, sink) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["POD", "PROXY", "BEFORE", "NOW"],
        ["orders-1", "Linkerd", "hickory=error,linkerd=info,warn", "debug"],
    ]
    assert [event.text for event in events] == [
        "the levels are put back in 0.1 s, or at Ctrl-C",
        "the log level of pod orders-1 is as it was",
    ]
