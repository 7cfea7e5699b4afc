"""What the Watch tells is what a real nginx and a real Envoy, given the same bytes, write into their access logs."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from tests.http.pair import request_headers
from tests.http.seat import backend, envoy_config, free_port, logged, nginx_config, running, watched
from tests.http.seen import Seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"


def ask(method: str, path: str, *fields: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: Shop:80", *fields, "", ""]).encode()


HEAD = ask("HEAD", "/length")

# Each is one connection: what is said, in pieces, and how many answers to wait for before the next piece.
CONVERSATIONS: list[list[tuple[bytes, bytes]]] = [
    [
        (ask("GET", "/length"), b"hello"),
        (ask("GET", "/chunked?a=b%20c"), b"0\r\n\r\n"),
        (ask("HEAD", "/length"), b"\r\n\r\n"),
    ],
    [(ask("GET", "/length") * 3 + ask("GET", "/broken"), b"no")],
    [(ask("POST", "/length", "Content-Length: 4") + b"data", b"hello")],
    [(b"POST /length HTTP/1.1\r\nHost: Shop:80\r\n" + CHUNKED, b"hello"), (ask("GET", "/empty"), b"\r\n\r\n")],
    [(ask("POST", "/length", "Content-Length: 4", "Expect: 100-continue"), b" 100 "), (b"data", b"hello")],
    [(ask("GET", "/same", 'If-None-Match: "a"'), b"\r\n\r\n"), (ask("GET", "/large"), b"x" * 50)],
    [(ask("GET", "/close"), b"until the end")],
    [(ask("GET", "/ws", "Connection: Upgrade", "Upgrade: websocket"), b"\r\n\r\n"), (b"ping", b"ping")],
]


async def converse(port: int) -> None:
    for conversation in CONVERSATIONS:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(30):
            for said, awaited in conversation:
                writer.write(said)
                got = b""
                while awaited not in got or b"x" * 50 in awaited:
                    data = await reader.read(65536)
                    got += data
                    if not data or got.count(b"x") >= 300_000:
                        break
        writer.close()
        await writer.wait_closed()


async def converse_http2(port: int) -> None:
    """Ten streams at once over one connection, uploads and a large answer among them; then one is cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    caller = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    caller.initiate_connection()
    paths = [
        "/length",
        "/chunked",
        "/empty",
        "/broken",
        "/large",
        "/length",
        "/chunked",
        "/length",
        "/large",
        "/broken",
    ]
    for index, path in enumerate(paths):
        stream = 2 * index + 1
        caller.send_headers(stream, request_headers("POST" if index % 2 else "GET", path), end_stream=not index % 2)
        if index % 2:
            caller.send_data(stream, b"q" * 1000 * index, end_stream=True)
    writer.write(caller.data_to_send())
    ended = 0
    async with asyncio.timeout(30):
        while ended < len(paths):
            for event in caller.receive_data(await reader.read(65536)):
                if isinstance(event, h2.events.DataReceived):
                    caller.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                ended += isinstance(event, h2.events.StreamEnded)
            writer.write(caller.data_to_send())
    writer.close()
    await writer.wait_closed()


def told(seen: Seen, *more: str) -> list[tuple[Any, ...]]:
    assert not seen.why
    assert not any(one.ambiguities or one.cancelled for one in seen.exchanges)
    return sorted(
        (one.protocol, one.method, one.path, one.authority.lower(), one.status, *(getattr(one, name) for name in more))
        for one in seen.exchanges
    )


def written(lines: list[dict[str, Any]], *more: str) -> list[tuple[Any, ...]]:
    return sorted(
        (
            line["protocol"].replace("HTTP/2.0", "HTTP/2"),
            line["method"],
            line["path"],
            line["authority"].lower() or "shop:80",
            int(line["status"]),
            *(int(line[name]) for name in more),
        )
        for line in lines
    )


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
async def test_nginx_agrees(tmp_path: Path) -> None:
    port, http2_port = free_port(), free_port()
    async with backend() as origin:
        config = tmp_path / "nginx.conf"
        config.write_text(nginx_config(tmp_path, port, http2_port, origin))
        command = [shutil.which("nginx") or "", "-c", str(config), "-p", str(tmp_path)]
        with running(command, port, tmp_path / "out"):
            async with watched(port) as (relay, seen), watched(http2_port) as (http2_relay, http2_seen):
                await converse(relay)
                await converse_http2(http2_relay)
    # A first connection only asked whether the port answers.
    lines = [line for line in logged(tmp_path / "access.log") if line["method"]]
    first = [line for line in lines if line["protocol"] != "HTTP/2.0"]
    # With a chunked answer nginx counts the chunks' framing as body; everything else must be equal to the byte.
    plain = [line for line in first if line["coding"] != "chunked" and line["status"] != 101]
    assert told(seen) == written(first)
    seen.exchanges = [one for one in seen.exchanges if ("transfer-encoding", "chunked") not in one.response_headers]
    seen.exchanges = [one for one in seen.exchanges if one.status != 101]
    for one in seen.exchanges:  # and its own "100 Continue"
        one.response_size += len(b"HTTP/1.1 100 Continue\r\n\r\n") * len(one.interim)
    assert told(seen, "response_size") == written(plain, "response")
    assert told(http2_seen, "response_size") == written(
        [line for line in lines if line["protocol"] == "HTTP/2.0"], "response"
    )


class _Grpc(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
            if details.method.endswith("Missing"):
                context.abort(grpc.StatusCode.NOT_FOUND, "no book")
            return request * 2

        def stream(requests: Any, _: grpc.ServicerContext) -> Any:
            for request in requests:
                yield request
                yield b""

        if details.method.endswith("Chat"):
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


def call(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert channel.unary_unary("/shop.Books/Get")(b"x" * 40_000, timeout=30) == b"x" * 80_000
        with pytest.raises(grpc.RpcError, match="no book"):
            channel.unary_unary("/shop.Books/Missing")(b"x", timeout=30)
        assert len(list(channel.stream_stream("/shop.Books/Chat")(iter([b"a", b"bc", b"d"]), timeout=30))) == 6


@pytest.fixture
async def grpc_origin() -> AsyncIterator[int]:
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((_Grpc(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    await asyncio.to_thread(server.stop(None).wait)


async def test_envoy_agrees(tmp_path: Path, grpc_origin: int) -> None:
    port = free_port()
    async with backend() as origin:
        config = tmp_path / "envoy.json"
        config.write_text(json.dumps(envoy_config(tmp_path, port, origin, grpc_origin)))
        envoy = Path(sys.executable).with_name("envoy")
        command = [str(envoy), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        with running(command, port, tmp_path / "out"):
            async with watched(port) as (relay, seen):
                await converse(relay)
                await converse_http2(relay)
                await asyncio.to_thread(call, relay)
    lines = logged(tmp_path / "access.log")
    assert told(seen, "request_size", "response_size") == written(lines, "request", "response")
    calls = {
        one.path: (one.grpc_status, one.request_messages, one.response_messages) for one in seen.exchanges if one.grpc
    }
    assert calls == {"/shop.Books/Get": (0, 1, 1), "/shop.Books/Missing": (5, 1, 0), "/shop.Books/Chat": (0, 3, 6)}
    logged_status = {line["path"]: line["grpc"] for line in lines if line["path"].startswith("/shop")}
    assert {path: status for path, (status, *_) in calls.items()} == {
        path: int(one) for path, one in logged_status.items()
    }
