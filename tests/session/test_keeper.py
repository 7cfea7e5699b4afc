"""A session's signs of life, as the cluster sees them: short while a death would leave little, long once agents live."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from interceptor.session.keeper import Stage
from interceptor.workload.lease import LEASE_SECONDS, START_SECONDS
from tests.contract.api import Object
from tests.session.scene import APPS, BATCH, LEASES, RBAC, Scene, local

LEASE = "interceptor-deployment-orders"


async def deadline(scene: Scene) -> int:
    """Of the session object."""
    (job,) = (await scene.api.get(scene.api.path("jobs", group=BATCH)))["items"]
    return int(job["spec"]["activeDeadlineSeconds"])


async def lease(scene: Scene) -> Object:
    found = await scene.api.get(scene.api.path("leases", LEASE, group=LEASES))
    spec: Object = found["spec"]
    return spec


async def test_start_ends_by_itself_soon(orders: Scene) -> None:
    """While the objects are created: a short deadline, pushed all the time, and a short Lease that moves."""
    await orders.fault(verb="create", resource="secrets", delay=20.0)
    async with orders.intercepting(ports=("8080",)) as running:
        await orders.api.eventually(orders.leftovers, lambda found: "leases" in str(found))
        first = await lease(orders)
        assert START_SECONDS <= first["leaseDurationSeconds"] < LEASE_SECONDS  # more where a call takes long
        await orders.api.eventually(lambda: lease(orders), lambda now: now["renewTime"] != first["renewTime"])
        assert await deadline(orders) <= Stage.ALONE.ahead + 5
        await running.stop()
    await orders.expect_as_before()


async def test_swap_is_a_short_moment(orders: Scene) -> None:
    """Longer than before it, for an agent has to start should we die in it; and not for long, should it never come."""
    await orders.fault(verb="patch", resource="deployments", delay=20.0)
    async with orders.intercepting(ports=("8080",)) as running:
        await orders.api.eventually(orders.leftovers, lambda found: "secrets" in str(found))
        await orders.api.eventually(lambda: deadline(orders), lambda ahead: ahead >= Stage.SWAPPING.ahead)
        assert await deadline(orders) <= Stage.SWAPPING.ahead + 5
        await running.stop()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_held_session_lasts_long(orders: Scene) -> None:
    """Once an agent is connected; and the agents may delete what would bring them back, and no other."""
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        await orders.api.eventually(lambda: deadline(orders), lambda ahead: ahead > Stage.HELD.ahead - 60)
        await orders.api.eventually(lambda: lease(orders), lambda now: now["leaseDurationSeconds"] == LEASE_SECONDS)
        replica_sets = (await orders.api.get(orders.api.path("replicasets", group=APPS)))["items"]
        ours = [
            item["metadata"]["name"]
            for item in replica_sets
            if "interceptor/session" in item["spec"]["template"]["metadata"].get("annotations", {})
        ]
        (role,) = (await orders.api.get(orders.api.path("roles", group=RBAC)))["items"]
        named = [rule["resourceNames"] for rule in role["rules"] if rule["resources"] == ["replicasets"]]
        assert named == [ours]
        await running.stop()
    await orders.expect_as_before()


async def test_lost_lock_keeps_workload(orders: Scene) -> None:
    """Somebody takes the Lease while the session is still created: nothing is swapped any more."""
    await orders.fault(verb="create", resource="secrets", delay=3.0)
    async with orders.intercepting(ports=("8080",)) as running:
        await orders.api.eventually(orders.leftovers, lambda found: "leases" in str(found))
        await orders.api.ok("DELETE", orders.api.path("leases", LEASE, group=LEASES))
        await running.ended()
    assert running.error is not None
    assert "lease" in running.error.message
    assert "swapped" not in running.heard.names()
    await orders.expect_as_before()


@asynccontextmanager
async def client(scene: Scene, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A client as a process of its own, that can be killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "interceptor", "intercept", "--kubeconfig", scene.api.kubeconfig),
        *("-n", scene.api.namespace, "-o", "json", "deploy/orders", "--port", f"{port}:8080"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("event", ["swapped", "connected", "ready"])
async def test_killed_client_is_healed(orders: Scene, event: str) -> None:
    async with local() as port, client(orders, port) as process:
        assert process.stdout is not None
        async for line in process.stdout:
            if json.loads(line)["event"] == event:
                break
        process.kill()
        await orders.api.eventually(orders.fingerprint, lambda now: now == orders.before)
        await orders.api.eventually(orders.leftovers, lambda found: found == [])
    await orders.serves("cluster 8080")
