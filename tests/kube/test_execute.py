from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from interceptor.kube import Cluster, ExecFailed, ExecResult, Forbidden, NotFound, Unreachable, execute
from tests.kube.apiserver import ApiServer, Handler, status

PATH = "GET /api/v1/namespaces/shop/pods/web/exec"
SUCCESS = {"status": "Success"}


def failure(code: int) -> dict[str, Any]:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}


def command(*messages: bytes, end: dict[str, Any] | None, reads: bool = False, protocol: str = "v5") -> Handler:
    """A container that writes messages and ends; with `reads`, it echoes its standard input to the end first."""

    async def run(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=[f"{protocol}.channel.k8s.io"])
        await socket.prepare(request)
        if reads:
            async for message in socket:
                assert message.type is WSMsgType.BINARY
                if message.data == b"\xff\x00":
                    break
                await socket.send_bytes(b"\x01" + message.data[1:])
        for sent in messages:
            await socket.send_bytes(sent)
        if end is not None:
            await socket.send_bytes(b"\x03" + json.dumps(end).encode())
        await socket.close()
        return socket

    return run


async def test_output_comes_whole(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, command(b"\x01one ", b"\x02oh", b"\x01two", b"\x01", end=SUCCESS))
    assert await cluster.exec("shop", "web", "app", ["echo", "a b"]) == ExecResult(0, b"one two", b"oh")
    assert server.seen[0].query == {"container": "app", "stdout": "true", "stderr": "true", "command": "echo"}
    assert server.seen[0].headers["Authorization"] == "Bearer secret"


async def test_exit_status_is_told(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, command(end=failure(42)))
    assert (await cluster.exec("shop", "web", "app", ["false"])).exit_code == 42


async def test_input_is_read_to_its_end(cluster: Cluster, server: ApiServer) -> None:
    words = bytes(range(256)) * 2000
    server.answer(PATH, command(end=SUCCESS, reads=True))
    assert (await cluster.exec("shop", "web", "app", ["cat"], stdin=words)).stdout == words
    assert server.seen[0].query["stdin"] == "true"


async def test_old_servers_speak_v4(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, command(b"\x01old", end=SUCCESS, protocol="v4"))
    assert (await cluster.exec("shop", "web", "app", ["x"])).stdout == b"old"


async def test_unread_input_is_no_error(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, command(b"\x01enough", end=SUCCESS))
    assert (await cluster.exec("shop", "web", "app", ["true"], stdin=bytes(4_000_000))).stdout == b"enough"


async def test_missing_command_is_told(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, command(end={"status": "Failure", "message": 'exec: "nope": not found'}))
    with pytest.raises(ExecFailed, match="'nope -v' in web/app could not run: exec: \"nope\": not found"):
        await cluster.exec("shop", "web", "app", ["nope", "-v"])


async def test_endless_command_is_left(cluster: Cluster, server: ApiServer) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=["v5.channel.k8s.io"])
        await socket.prepare(request)
        await asyncio.sleep(60)
        return socket

    server.answer(PATH, endless)
    with pytest.raises(ExecFailed, match=r"'sleep inf' in web/app did not end within 0.2 s"):
        await cluster.exec("shop", "web", "app", ["sleep", "inf"], timeout=0.2)


async def test_lost_connection_is_told(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, command(b"\x01half", end=None))
    with pytest.raises(ExecFailed, match="broke before it ended"):
        await cluster.exec("shop", "web", "app", ["x"])


async def test_endless_output_is_cut(cluster: Cluster, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "OUTPUT_LIMIT", 1 << 20)
    server.answer(PATH, command(*[b"\x01" + bytes(65536)] * 40, end=SUCCESS))
    with pytest.raises(ExecFailed, match="wrote more than 1 MiB"):
        await cluster.exec("shop", "web", "app", ["yes"])


async def test_refusals_keep_their_words(cluster: Cluster, server: ApiServer) -> None:
    right = 'pods "web" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "shop"'
    server.answer(PATH, status(403, "Forbidden", right))
    with pytest.raises(Forbidden, match="no right to create pods/exec in namespace shop"):
        await cluster.exec("shop", "web", "app", ["x"])
    server.answer(PATH, status(404, "NotFound", 'pods "web" not found'))
    with pytest.raises(NotFound, match='pods "web" not found'):
        await cluster.exec("shop", "web", "app", ["x"])


async def test_unreachable_server_is_told(cluster: Cluster, server: ApiServer) -> None:
    await server.stop()
    with pytest.raises(Unreachable, match="refused the connection"):
        await cluster.exec("shop", "web", "app", ["x"])
