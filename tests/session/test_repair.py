"""`interceptor restore`: what a client without a guard left behind goes back; a living holder's does not."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from interceptor.errors import InterceptorError
from interceptor.session.options import Access
from interceptor.session.repair import repair, repair_all
from tests.session.scene import Recorder, Scene, local


def access(scene: Scene) -> Access:
    return Access(kubeconfig=scene.api.kubeconfig, namespace=scene.api.namespace)


async def restored(scene: Scene, target: str = "deploy/orders") -> Recorder:
    heard = Recorder()
    assert await repair(target, access(scene), heard) == 0
    return heard


@asynccontextmanager
async def client(scene: Scene, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """An intercept without a guard, as a process, ready; killed at the end if not before."""
    words = ["intercept", f"deploy/{scene.name}", "-p", f"{port}:8080", "--no-guard", "-o", "json"]
    where = ["--kubeconfig", scene.api.kubeconfig, "-n", scene.api.namespace]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interceptor", *words, *where, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            async for line in process.stdout:
                if json.loads(line)["event"] == "ready":
                    break
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await process.communicate()


async def test_nothing_to_restore_is_said(orders: Scene) -> None:
    heard = await restored(orders, "orders")
    assert heard.texts("note") == ["deploy/orders is not intercepted: nothing to restore"]
    await orders.expect_as_before()


async def test_no_such_workload_is_said(scene: Scene) -> None:
    with pytest.raises(InterceptorError, match="no deployment 'orders'"):
        await restored(scene)


@pytest.mark.slow
async def test_killed_client_is_repaired(orders: Scene) -> None:
    """Refused while the holder lives; when it was killed, everything goes, and a second call finds nothing."""
    async with local() as port, client(orders, port) as process:
        with pytest.raises(InterceptorError, match="is held by"):
            await restored(orders)
        assert await orders.ask() == "here"
        process.kill()
        await process.wait()
        heard = await restored(orders, "svc/orders")
        (event,) = (event for event in heard.events if event.name == "restored")
        assert event.text.startswith("deploy/orders is as it was before ")
        assert event.details["kept"] == []
        await orders.expect_as_before()
        await orders.serves("cluster 8080")
        assert "nothing to restore" in (await restored(orders)).events[-1].text


@pytest.mark.slow
async def test_objects_gone_before_are_no_error(orders: Scene) -> None:
    """Somebody removed the session object by hand, and changed the template: their change stays."""
    async with local() as port, client(orders, port) as process:
        process.kill()
        await process.wait()
    for name in await orders.leftovers():
        if name.startswith("jobs/"):
            path = orders.api.path("jobs", name.removeprefix("jobs/"), group="batch/v1")
            await orders.api.ok("DELETE", path, {"propagationPolicy": "Background"})
    await orders.expect_clean()
    command = ["python3", "-c", "import time; time.sleep(1000)"]
    await orders.patch([{"op": "replace", "path": "/spec/template/spec/containers/0/command", "value": command}])
    heard = await restored(orders)
    assert "the session's objects were gone already" in heard.texts("note")
    assert "but for what others changed: " in heard.texts("restored")[0]
    template = orders.before["spec"]["template"]
    template["spec"]["containers"][0]["command"] = command
    await orders.expect_unchanged(template=template)


@pytest.mark.slow
async def test_all_goes_on_after_a_refusal(orders: Scene) -> None:
    """One holder lives, another is dead: the dead one's workload goes back, the end is an error that says who."""
    heard = Recorder()
    other = Scene(orders.api, "carts")
    await other.deploy()
    async with local() as port, client(orders, port), client(other, port) as dead:
        dead.kill()
        await dead.wait()
        with pytest.raises(InterceptorError, match="1 of 2 were not restored: deploy/orders is held by"):
            await repair_all(access(orders), heard)
        assert [event.details["workload"] for event in heard.events if event.name == "restored"] == ["deploy/carts"]
        await other.expect_unchanged()
        assert await orders.ask() == "here"
        assert await repair_all(access(orders), heard, force=True) == 0
        await orders.expect_as_before()


async def test_leftovers_are_removed(orders: Scene) -> None:
    """A client that died between its first object and the swap."""
    labels = {"app.kubernetes.io/managed-by": "interceptor", "interceptor/session": "orders-x7f2q"}
    spec = {"holderIdentity": "ana@laptop/orders-x7f2q", "leaseDurationSeconds": 15}
    body = {"metadata": {"name": "interceptor-deployment-orders", "labels": labels}, "spec": spec}
    await orders.api.ok("POST", orders.api.path("leases", group="coordination.k8s.io/v1"), body)
    heard = Recorder()
    assert await repair_all(access(orders), heard) == 0
    assert "what session orders-x7f2q left was removed" in heard.texts("restored")[0]
    await orders.expect_as_before()
