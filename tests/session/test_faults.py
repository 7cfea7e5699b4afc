"""An API server with a bad day: each fault is waited out, told, or undone; none leaves the workload changed."""

from __future__ import annotations

import pytest

from tests.contract.api import JSON_PATCH
from tests.session.scene import Scene, local


async def test_swap_meets_a_conflict(orders: Scene) -> None:
    """409 on our patch: looked again, and patched what is there now."""
    await orders.fault(verb="patch", resource="deployments", status=409, count=2)
    async with orders.intercepting(ports=("8080",)) as running:
        await running.until("swapped")
        assert await orders.hits() == [2]
        await orders.fault(verb="patch", resource="deployments", status=409, count=2)
        await running.stop()
    assert await orders.hits() == [2, 2]
    assert running.cancelled
    await orders.expect_as_before()


async def test_swap_is_refused(orders: Scene) -> None:
    """An admission webhook, say: nothing has changed, and nothing stays."""
    await orders.fault(verb="patch", resource="deployments", status=403, count=1)
    async with orders.intercepting(ports=("8080",)) as running:
        await running.ended()
    assert running.error is not None
    assert "deployments" in running.error.message
    assert "swapped" not in running.heard.names()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_look_can_fail(orders: Scene) -> None:
    """Expired credentials, a look that is forbidden, a server that is out of order: said before anything has changed."""
    for verb, resource, status in (("get", "deployments", 401), ("list", "pods", 403), ("get", "deployments", 500)):
        await orders.fault(verb=verb, resource=resource, status=status)
        async with orders.intercepting(ports=("8080",)) as running:
            await running.ended()
        await orders.api.ok("DELETE", "/faults")
        assert running.error is not None
        assert running.heard.events == []
    await orders.expect_as_before()


@pytest.mark.slow
async def test_refused_object_undoes_the_rest(orders: Scene) -> None:
    for resource in ("jobs", "leases", "secrets", "roles", "rolebindings", "serviceaccounts"):
        await orders.fault(verb="create", resource=resource, status=403, count=1)
        async with orders.intercepting(ports=("8080",)) as running:
            await running.ended()
        assert running.error is not None
        assert resource in str(running.error)
        assert running.heard.names() == ["planned", "restored"]
        assert running.heard.texts("restored") == ["deploy/orders was not changed"]
    await orders.expect_as_before()


@pytest.mark.slow
async def test_failing_reads_are_repeated(orders: Scene) -> None:
    for verb, resource in (("get", "deployments"), ("list", "pods"), ("list", "services")):
        await orders.fault(verb=verb, resource=resource, status=500, count=1)
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        await orders.api.ok("DELETE", "/faults")
        await orders.fault(verb="get", resource="deployments", status=500, count=2)
        await running.stop()
        assert await orders.hits() == [2]
    assert running.cancelled
    await orders.expect_as_before()


@pytest.mark.slow
async def test_failing_writes_of_the_undo_are_told(orders: Scene) -> None:
    """What can't be taken back is said, each by its name, and the rest is taken back all the same."""
    async with orders.intercepting(ports=("8080",), guard=False) as running:
        await running.until("connected")
        await orders.fault(verb="patch", resource="deployments", status=403)
        await orders.fault(verb="delete", resource="leases", status=403)
        await running.stop()
    assert running.error is not None
    assert "not everything could be taken back: the swap: " in running.error.message
    assert "; the lease: " in running.error.message
    assert "restored" not in running.heard.names()
    await orders.api.ok("DELETE", "/faults")
    await orders.expect_clean()  # the session object went, and all it owned


@pytest.mark.slow
async def test_unseen_rollout_of_the_undo_is_told(orders: Scene) -> None:
    """The template is back, but the way of its pods can't be followed: everything else is taken back all the same."""
    async with orders.intercepting(ports=("8080",)) as running:
        await running.until("connected")
        await orders.fault(verb="list", resource="deployments", status=403)
        await running.stop()
    assert running.cancelled, running.error
    assert any("can't be followed" in text for text in running.heard.texts("note"))
    assert running.heard.names()[-1] == "restored"
    await orders.expect_as_before()


@pytest.mark.slow
async def test_cut_port_forward_comes_back(orders: Scene) -> None:
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        for how in ("rst", "close"):
            before = len(running.heard.events)
            assert await orders.cut("portforward", how=how) >= 1
            lost = await running.until("lost", after=before)
            assert "connecting again" in lost.text
            await running.until("connected", after=before)
            assert await orders.ask() == "here"
        await running.stop()
    assert running.cancelled
    await orders.expect_as_before()


@pytest.mark.slow
async def test_cut_watches_go_unnoticed(orders: Scene) -> None:
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        assert await orders.cut("watch", "pods") >= 1
        assert await orders.cut("watch", "deployments", how="close") >= 1
        before = len(running.heard.events)
        await orders.scale(2)
        await running.until("note", "scaled to 2", after=before)
        await running.until("connected", after=before)
        await orders.rolled_out(2)
        assert await orders.ask() == "here"
        await orders.scale(1)
        await orders.rolled_out(1)
        await running.stop()
    assert "lost" not in running.heard.names()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_change_during_a_cut_watch_is_seen(orders: Scene) -> None:
    """The session's own watch is away while somebody takes the swap back: the next list tells."""
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        await orders.fault(verb="watch", resource="deployments", status=500, count=1)
        assert await orders.cut("watch", "deployments") >= 1
        path = "/metadata/annotations"
        await orders.api.ok(
            "PATCH",
            orders.path,
            [
                {"op": "replace", "path": "/spec/template", "value": orders.before["spec"]["template"]},
                {"op": "replace", "path": path, "value": orders.before["annotations"]},
            ],
            kind=JSON_PATCH,
        )
        await running.ended()
    assert running.error is not None
    assert "somebody took the swap back" in running.error.message
    await orders.expect_as_before()


@pytest.mark.slow
async def test_unanswered_renewals_are_survived(orders: Scene) -> None:
    """The API server fails every renewal for a while: the tunnel stays, and so does the session."""
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        await orders.fault(verb="patch", resource="leases", status=500, count=1)
        await orders.api.eventually(orders.hits, lambda hits: hits == [1])
        assert await orders.ask() == "here"
        await running.stop()
    assert running.cancelled
    await orders.expect_as_before()


@pytest.mark.slow
async def test_impossible_image_is_undone(orders: Scene) -> None:
    """The pod's own words say why, and the old pods have served all the while."""
    async with orders.intercepting(ports=("8080",), agent_image="no.such.registry/image:1") as running:
        await running.until("swapped")
        assert await orders.ask() == "cluster 8080"
        await running.ended()
    assert running.error is not None
    assert "no.such.registry/image:1" in running.error.message
    assert "--agent-image" in running.error.hint
    assert running.heard.names()[-1] == "restored"
    await orders.expect_as_before()
