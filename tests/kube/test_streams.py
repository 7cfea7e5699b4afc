"""A process in a container, both ways: what is typed arrives, what it writes comes, and how it ended is known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from interceptor.kube import Cluster, ExecFailed, Forbidden
from tests.kube.apiserver import ApiServer, Handler, status

EXEC = "GET /api/v1/namespaces/shop/pods/web/exec"
ATTACH = "GET /api/v1/namespaces/shop/pods/web/attach"


def process(end: dict[str, Any] | None, *, protocol: str = "v5") -> Handler:
    """It echoes every message but the end of its input with its channel in front; then it ends."""

    async def run(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=[f"{protocol}.channel.k8s.io"])
        await socket.prepare(request)
        async for message in socket:
            if message.data in (b"\xff\x00", b"\x00bye"):
                break
            await socket.send_bytes(b"\x01" + message.data)
        await socket.send_bytes(b"\x01")
        await socket.send_bytes(b"\x02oh")
        if end is not None:
            await socket.send_bytes(b"\x03" + json.dumps(end).encode())
        await socket.close()
        return socket

    return run


async def test_both_ways_until_its_end(cluster: Cluster, server: ApiServer) -> None:
    causes = [{"reason": "ExitCode", "message": "7"}]
    server.answer(EXEC, process({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}))
    async with cluster.stream("shop", "web", "app", ["sh", "-i"], tty=True) as stream:
        assert stream.closes_stdin
        await stream.send(b"typed")
        assert await stream.receive() == (1, b"\x00typed")
        await stream.resize(99, 33)
        assert await stream.receive() == (1, b'\x04{"Width": 99, "Height": 33}')
        await stream.close_stdin()
        assert await stream.receive() == (2, b"oh")
        assert await stream.receive() is None
        assert stream.exit_code() == 7
        await stream.send(b"too late")
    assert server.seen[0].query == {
        "container": "app", "stdout": "true", "stdin": "true", "tty": "true", "command": "sh",
    }  # fmt: skip


async def test_attach_joins_the_first_process(cluster: Cluster, server: ApiServer) -> None:
    server.answer(ATTACH, process({"status": "Success"}, protocol="v4"))
    async with cluster.stream("shop", "web", "tools") as stream:
        assert not stream.closes_stdin
        await stream.close_stdin()  # this protocol can't: nothing is sent
        await stream.send(b"bye")
        assert await stream.receive() == (2, b"oh")
        assert await stream.receive() is None
        assert stream.exit_code() == 0
    assert "command" not in server.seen[0].query
    assert server.seen[0].query["stderr"] == "true"


async def test_broken_connection_is_no_end(cluster: Cluster, server: ApiServer) -> None:
    server.answer(EXEC, process(None))
    async with cluster.stream("shop", "web", "app", ["sh"]) as stream:
        await stream.send(b"bye")
        while await stream.receive() is not None:
            pass
        assert not stream.ended
        with pytest.raises(ExecFailed, match="broke"):
            stream.exit_code()


async def test_missing_right_is_named(cluster: Cluster, server: ApiServer) -> None:
    message = 'User "ana" cannot create resource "pods/attach" in API group "" in the namespace "shop"'
    server.answer(ATTACH, status(403, "Forbidden", message))
    with pytest.raises(Forbidden, match="create pods/attach"):
        async with cluster.stream("shop", "web", "tools"):
            pass
