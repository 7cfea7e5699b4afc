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
from interceptor.session.repair import repair
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
    words = ["intercept", "deploy/orders", "-p", f"{port}:8080", "--no-guard", "-o", "json"]
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
        with pytest.raises(InterceptorError, match="already intercepted by"):
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
