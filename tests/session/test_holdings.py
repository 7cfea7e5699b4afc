"""Who holds what, on the embedded cluster."""

from __future__ import annotations

import asyncio

import pytest

from interceptor.kube import resources
from interceptor.session.holdings import find
from interceptor.workload import objects
from interceptor.workload.objects import SessionNames
from tests.session.scene import Scene, local


async def test_live_intercept_is_found(orders: Scene) -> None:
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        async with orders.cluster() as cluster:
            found = await find(cluster, orders.api.namespace)
        (holding,) = found.sessions
        assert (holding.workload, holding.alive, holding.state) == ("deploy/orders", True, "held")
        assert len(holding.pods) == 1
        assert not found.unknown
        await running.stop()
    async with orders.cluster() as cluster:
        assert (await find(cluster, orders.api.namespace, within=0.5)).sessions == []


@pytest.mark.slow
async def test_late_renewal_is_a_sign_of_life(orders: Scene) -> None:
    """An API server that holds one request for three seconds makes nobody's session a leftover."""
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        await orders.fault(verb="patch", resource="leases", delay=2.9, count=1)
        while not (await orders.hits())[-1]:  # noqa: ASYNC110  (the cluster sets no event of ours)
            await asyncio.sleep(0.01)
        async with orders.cluster() as cluster:
            (holding,) = (await find(cluster, orders.api.namespace)).sessions
        assert (holding.alive, holding.state) == (True, "held")
        await running.stop()


async def test_lonely_session_object_is_watched(orders: Scene) -> None:
    """It is a leftover only if nobody pushes its deadline: a session's first moment looks the same."""
    names = SessionNames("orders-x7f2q", orders.api.namespace, "orders")
    async with orders.cluster() as cluster:
        created = await cluster.create(resources.JOBS, names.namespace, objects.job(names, 100))
        (found,) = (await find(cluster, names.namespace, within=0.3)).sessions
        assert found.leftover == "a session object without a swap"
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(find(cluster, names.namespace, within=2.5), name="find")
            while not looking.done():
                seconds = created["spec"]["activeDeadlineSeconds"] + 1
                patch = {"spec": {"activeDeadlineSeconds": seconds}}
                created = await cluster.patch(resources.JOBS, names.namespace, names.object, patch)
                await asyncio.sleep(0.1)
        (found,) = looking.result().sessions
        assert (found.state, found.alive) == ("starting", True)
        await cluster.delete(resources.JOBS, names.namespace, names.object)
