"""What others do to the workload while it is held: they win, it is told, and the session ends in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.contract.api import MERGE
from tests.session.scene import BATCH, LEASES, Running, Scene, local

pytestmark = pytest.mark.slow


@asynccontextmanager
async def held(scene: Scene) -> AsyncIterator[Running]:
    async with local() as port, scene.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        yield running


async def test_deleted_workload_ends_it(orders: Scene) -> None:
    async with held(orders) as running:
        await orders.api.ok("DELETE", orders.path)
        await running.ended()
    assert running.error is not None
    assert running.error.message == "deploy/orders was deleted by somebody"
    assert running.heard.texts("restored") == ["deploy/orders is gone"]
    await orders.expect_clean()


async def test_their_change_stays(orders: Scene) -> None:
    """Somebody sets the very command that we replaced: theirs stays, all else goes back."""
    command = ["python3", "-c", "import time; time.sleep(1000)"]
    async with held(orders) as running:
        await orders.patch([{"op": "replace", "path": "/spec/template/spec/containers/0/command", "value": command}])
        await running.ended()
    assert running.error is not None
    assert running.heard.texts("ending") == [running.error.message]  # told at once, and again as the last line
    assert "somebody changed" in running.error.message
    assert "that stays" in running.error.message
    (text,) = running.heard.texts("restored")
    assert "but for what others changed: " in text
    assert running.heard.events[-1].details["kept"]
    found = (await orders.fingerprint())["spec"]["template"]
    assert found["spec"]["containers"][0].pop("command") == command
    wanted = orders.before["spec"]["template"]
    wanted["spec"]["containers"][0].pop("command")
    assert found == wanted
    await orders.expect_clean()


async def test_change_beside_ours_is_kept(orders: Scene) -> None:
    """A new variable is no business of ours: the pods roll, the session goes on, the variable stays."""
    variable = {"name": "NEW", "value": "1"}
    async with held(orders) as running:
        before = len(running.heard.events)
        await orders.patch([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": variable}])
        await running.until("connected", after=before)
        await orders.serves("here")
        await running.stop()
    assert running.cancelled
    template = orders.before["spec"]["template"]
    template["spec"]["containers"][0]["env"].append(variable)
    await orders.expect_unchanged(template=template)
    await orders.expect_clean()


async def test_swap_taken_back_ends_it(orders: Scene) -> None:
    """As `kubectl replace` of the manifest, or Argo CD, would."""
    async with held(orders) as running:
        found = await orders.api.get(orders.path)
        found["spec"] = orders.before["spec"]
        found["metadata"]["annotations"] = orders.before["annotations"]
        del found["metadata"]["resourceVersion"]
        await orders.api.ok("PUT", orders.path, found)
        await running.ended()
    assert running.error is not None
    assert "somebody took the swap back" in running.error.message
    assert running.heard.texts("restored") == ["deploy/orders was restored already"]
    await orders.expect_as_before()


async def test_scaling_is_followed(orders: Scene) -> None:
    async with held(orders) as running:
        await orders.scale(0)
        await running.until("waiting", "scaled to 0")
        before = len(running.heard.events)
        await orders.scale(2)
        await running.until("note", "scaled to 2")
        await orders.rolled_out(2)
        await running.until("connected", after=before)
        assert [await orders.ask() for _ in range(4)] == ["here"] * 4
        await running.stop()
    assert running.cancelled
    await orders.expect_unchanged(replicas=2)
    await orders.expect_clean()


async def test_deleted_pod_comes_back_ours(orders: Scene) -> None:
    async with held(orders) as running:
        (pod,) = (await orders.api.get(orders.api.path("pods")))["items"]
        before = len(running.heard.events)
        await orders.api.ok("DELETE", orders.api.path("pods", pod["metadata"]["name"]))
        await running.until("connected", after=before)
        await orders.serves("here")
        await running.stop()
    assert "lost" not in running.heard.names()  # it ended in order
    await orders.expect_as_before()


@pytest.mark.parametrize("how", ["session object", "lease"])
async def test_deleted_objects_end_it(orders: Scene, how: str) -> None:
    async with held(orders) as running:
        plural, group = ("jobs", BATCH) if how == "session object" else ("leases", LEASES)
        (found,) = (await orders.api.get(orders.api.path(plural, group=group)))["items"]
        path = orders.api.path(plural, found["metadata"]["name"], group=group)
        await orders.api.ok("DELETE", path, {"propagationPolicy": "Background"})
        await running.ended()
    assert running.error is not None
    await orders.expect_as_before()
    await orders.serves("cluster 8080")


async def test_taken_lease_ends_it(orders: Scene) -> None:
    """Somebody overwrites the lock: the workload goes back, their Lease stays theirs."""
    async with held(orders) as running:
        (found,) = (await orders.api.get(orders.api.path("leases", group=LEASES)))["items"]
        path = orders.api.path("leases", found["metadata"]["name"], group=LEASES)
        await orders.api.ok("PATCH", path, {"spec": {"holderIdentity": "eve@desk/other"}}, kind=MERGE)
        await running.ended()
    assert running.error is not None
    assert running.error.message == "eve@desk took deploy/orders over"
    await orders.expect_unchanged()


async def test_paused_rollout_is_refused(orders: Scene) -> None:
    await orders.api.ok("PATCH", orders.path, {"spec": {"paused": True}}, kind=MERGE)
    async with orders.intercepting(ports=("8080",)) as running:
        await running.ended()
    assert running.error is not None
    assert "is paused" in running.error.message
    assert "kubectl rollout resume" in running.error.hint
    assert await orders.leftovers() == []
