"""`intercept --take-over`: a silent holder's session ends at once, a living one's when that is really meant."""

from __future__ import annotations

import asyncio

import pytest

from interceptor.kube.resources import LEASES
from interceptor.session.takeover import take_over
from interceptor.workload.lease import TakenOver
from interceptor.workload.life import AlreadyIntercepted
from tests.session.scene import Recorder, Scene, local
from tests.session.test_repair import client


@pytest.mark.slow
async def test_silent_holder_is_ended(orders: Scene) -> None:
    async with local() as first, local("there") as second, client(orders, first) as process:
        process.kill()
        await process.wait()
        async with orders.intercepting(ports=(f"{second}:8080",), take_over=1) as running:
            await running.until("ready")
            assert running.heard.find("note", "taking deploy/orders over from ")
            assert await orders.ask() == "there"
            await running.stop()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_living_holder_is_asked_for(orders: Scene) -> None:
    """Once is a question, and no is an answer; twice ends them, and they say who it was."""
    asked: list[str] = []

    async def no(question: str) -> bool:
        asked.append(question)
        return False

    async with local() as first, local("there") as second, orders.intercepting(ports=(f"{first}:8080",)) as ana:
        await ana.until("ready")
        async with orders.cluster() as cluster:
            for confirm in (None, no):
                with pytest.raises(AlreadyIntercepted, match="already intercepted by"):
                    await take_over(cluster, "deploy/orders", 1, Recorder(), confirm)
        assert "is held by" in asked[0]
        assert await orders.ask() == "here"
        async with orders.intercepting(ports=(f"{second}:8080",), take_over=2) as bob:
            await bob.until("ready")
            await ana.ended()
            assert isinstance(ana.error, TakenOver)
            assert "took deploy/orders over" in ana.error.message
            assert await orders.ask() == "there"
            await bob.stop()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_cancelled_take_over_removes_its_object(orders: Scene) -> None:
    """Whether the API server had made it already, nobody can know."""
    async with orders.cluster() as cluster, asyncio.TaskGroup() as group:
        spec = {"holderIdentity": "ana@laptop/orders-abcde", "leaseDurationSeconds": 2}
        labels = {"app.kubernetes.io/managed-by": "interceptor"}
        lease = {"metadata": {"name": "interceptor-deployment-orders", "labels": labels}, "spec": spec}
        await cluster.create(LEASES, orders.api.namespace, lease)
        await orders.fault(verb="create", resource="jobs", delay=10, status=403)
        await orders.fault(verb="delete", resource="jobs")
        taking = group.create_task(take_over(cluster, "deploy/orders", 1, Recorder()))
        async with asyncio.timeout(60):
            while (await orders.hits())[0] == 0:  # noqa: ASYNC110  the API server doesn't tell
                await asyncio.sleep(0.02)
        taking.cancel()
    assert taking.cancelled()
    assert await orders.hits() == [1, 1]


@pytest.mark.slow
async def test_one_of_two_takers_wins(orders: Scene) -> None:
    async with local() as first, local("there") as second, client(orders, first) as process:
        process.kill()
        await process.wait()
        options = {"ports": (f"{second}:8080",), "take_over": 1}
        async with orders.intercepting(**options) as one, orders.intercepting(**options) as other:
            assert one.task is not None
            assert other.task is not None
            await asyncio.wait([one.task, other.task], return_when=asyncio.FIRST_COMPLETED, timeout=30)
            loser, winner = (one, other) if one.task.done() else (other, one)
            assert loser.error is not None
            await winner.until("ready")
            assert await orders.ask() == "there"
            await winner.stop()
    await orders.expect_as_before()
