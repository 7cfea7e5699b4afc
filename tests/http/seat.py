"""A relay with a Watch in it, a backend of every manner, and real proxies behind the relay: for `test_proxies`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from interceptor.http.watch import Watch
from tests.http.seen import Seen

OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "/length": OK + b"Content-Length: 5\r\n\r\nhello",
    "/chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "/close": b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/same": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
    "/broken": b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
    "/large": OK + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000,
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close, and let what was said leave; a peer that doesn't read is not waited for long."""
    writer.close()
    try:
        async with asyncio.timeout(20):
            await writer.wait_closed()
    except OSError:  # TimeoutError is one
        writer.transport.abort()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[tuple[int, list[asyncio.Task[None]]]]:
    """A listener whose connections are over when it is left."""
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[None]] = []

        async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            finally:
                await hang_up(writer)

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(group.create_task(closing(reader, writer), name="connection"))

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1], tasks
        finally:
            server.close()


@asynccontextmanager
async def backend() -> AsyncIterator[int]:
    """An origin that answers by path, WebSockets too."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                lower = head.lower()
                if "content-length:" in lower:
                    await reader.readexactly(int(lower.split("content-length:")[1].split("\r\n")[0]))
                elif "transfer-encoding: chunked" in lower:
                    while int((await reader.readline()).split(b";")[0], 16):
                        await reader.readuntil(b"\r\n")
                    while (await reader.readline()) != b"\r\n":
                        pass
                if path == "/ws":
                    writer.write(
                        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                    )
                    while data := await reader.read(1000):
                        writer.write(data)
                    break
                answer = ANSWERS[path.partition("?")[0]]
                writer.write(answer.split(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else answer)
                if path == "/close":
                    break

    async with serving(serve) as (port, tasks):
        yield port
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def watched(port: int) -> AsyncIterator[tuple[int, Seen]]:
    """Relay to `port` and watch; leaves when every connection is over."""
    seen = Seen()
    loop = asyncio.get_running_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: Watch, asks: bool) -> None:
        feed, end = (
            (watch.requested, watch.request_side_ended) if asks else (watch.responded, watch.response_side_ended)
        )
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                feed(memoryview(data), loop.time())
        end(loop.time())
        with contextlib.suppress(OSError):  # also where the other side was reset: this one is to end, too
            writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        watch = Watch(seen)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, far_writer, watch, True), name="requests")
            group.create_task(pump(far_reader, writer, watch, False), name="responses")
        watch.closed(loop.time())
        await hang_up(far_writer)

    async with serving(serve) as (own_port, _), asyncio.timeout(60):
        yield own_port, seen


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """A server process, from when its port answers to its end."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            for _ in range(400):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                    break
                if process.poll() is not None:
                    raise AssertionError(log.read_text()[-2000:])
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
            else:
                raise AssertionError(f"{command[0]} does not answer: {log.read_text()[-2000:]}")
            yield
        finally:
            process.terminate()
            process.wait(20)


def nginx_config(folder: Path, port: int, http2_port: int, origin: int) -> str:
    form = (
        '{"protocol":"$server_protocol","method":"$request_method","path":"$request_uri","authority":"$http_host",'
        '"status":$status,"request":$request_length,"response":$body_bytes_sent,"coding":"$sent_http_transfer_encoding"}'
    )
    return f"""
daemon off; master_process off; pid "{folder}/nginx.pid"; error_log "{folder}/error.log";
events {{ worker_connections 64; }}
http {{
  log_format seen escape=json '{form}';
  access_log "{folder}/access.log" seen;
  client_body_temp_path "{folder}/body"; proxy_temp_path "{folder}/proxy"; fastcgi_temp_path "{folder}/f";
  uwsgi_temp_path "{folder}/u"; scgi_temp_path "{folder}/s";
  server {{
    listen 127.0.0.1:{port};
    listen 127.0.0.1:{http2_port} http2;
    location / {{ proxy_pass http://127.0.0.1:{origin}; proxy_http_version 1.1; proxy_set_header Connection $http_connection;
      proxy_set_header Upgrade $http_upgrade; }}
  }}
}}
"""


def envoy_config(folder: Path, port: int, origin: int, grpc_origin: int) -> dict[str, Any]:
    fields = {
        "protocol": "%PROTOCOL%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(:PATH)%",
        "authority": "%REQ(:AUTHORITY)%",
        "status": "%RESPONSE_CODE%",
        "request": "%BYTES_RECEIVED%",
        "response": "%BYTES_SENT%",
        "grpc": "%GRPC_STATUS_NUMBER%",
    }
    api = "type.googleapis.com/envoy.extensions"

    def cluster(name: str, to: int, **more: Any) -> dict[str, Any]:
        address = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": to}}}
        endpoints = [{"lb_endpoints": [{"endpoint": address}]}]
        return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}, **more}

    http2 = {
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{api}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    }
    manager = {
        "@type": f"{api}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "AUTO",
        "http_protocol_options": {"accept_http_10": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": f"{api}.access_loggers.file.v3.FileAccessLog",
                    "path": str(folder / "access.log"),
                    "log_format": {"json_format": fields},
                },
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/", "grpc": {}}, "route": {"cluster": "grpc"}},
                        {"match": {"prefix": "/"}, "route": {"cluster": "origin"}},
                    ],
                }
            ]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{api}.filters.http.router.v3.Router"}}],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    clusters = [cluster("origin", origin), cluster("grpc", grpc_origin, **http2)]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def logged(path: Path) -> list[dict[str, Any]]:
    """The access log of a server that has ended."""
    return [json.loads(line) for line in path.read_text().splitlines()]
