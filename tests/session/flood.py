"""A session that nobody but a test feeds, and requests that pass it at a steady rate: for those who watch a flood."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from interceptor.mesh.traffic.hub import Hub
from interceptor.session.control import Control
from tests.session.scene import Recorder
from tests.session.test_control import open_one, pass_by

SERVER = "http://127.0.0.1:1"  # nobody: the cluster is away
RATE = 1000  # a second
AT_ONCE = 10
FAILS = 10  # each so-manieth
CALLERS = 20


def write_kubeconfig(folder: Path) -> Path:
    """For a cluster that is away."""
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": SERVER}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }  # fmt: skip
    file = folder / "config"
    file.write_text(json.dumps(config))
    return file


@asynccontextmanager
async def session(hub: Hub, name: str) -> AsyncIterator[None]:
    """The control socket of an intercept of deploy/NAME in namespace shop."""
    about = {"session": name, "server": SERVER, "namespace": "shop", "kind": "Deployment", "name": name}
    async with asyncio.TaskGroup() as group:
        control = Control(hub, about, Recorder())
        task = group.create_task(control.serve(), name="control")
        await control.listening.wait()
        yield
        task.cancel()


async def flood(hub: Hub, count: int) -> None:
    """Let so many requests pass, RATE of them a second."""
    loop = asyncio.get_running_loop()
    connections = [open_one(hub, "orders-1", {"peer": f"10.0.0.{one}:1234", "port": 8080}) for one in range(CALLERS)]
    began = loop.time()
    for number in range(count):
        if number % AT_ONCE == 0:
            await asyncio.sleep(max(0.0, began + number / RATE - loop.time()))
        status = b"503 No" if number % FAILS == 0 else b"200 OK"
        ask = b"GET /route%d/%d HTTP/1.1\r\nHost: shop\r\nUser-Agent: flood\r\nAccept: */*\r\n\r\n" % (
            number % 7,
            number,
        )
        answer = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi" % status
        pass_by(connections[number % CALLERS], answer, ask)
    for connection in connections:
        connection.finished()
