"""A real HTTPS server that answers what a test tells it to, and a real CONNECT proxy."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.leaving import clean_up

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = tuple[int, Any] | Handler


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    certificate: str


def status(code: int, reason: str = "", message: str = "") -> tuple[int, Any]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


class ApiServer:
    """Answers `GET /path` with what was set for it, in turn, the last one for ever; 404 for the rest."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.url = ""
        self.port = 0
        self._answers: dict[str, list[Answer]] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    def answer(self, what: str, *answers: Answer) -> None:
        self._answers[what] = list(answers)

    async def start(self, context: ssl.SSLContext | None) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        await clean_up(self._runner)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        certificate = request.get_extra_info("peercert") or {}
        names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
        body = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.path,
                dict(request.query),
                dict(request.headers),
                _body(request, body),
                "".join(names),
            )
        )
        answers = self._answers.get(f"{request.method} {request.path}")
        if not answers:
            answers = [status(404, "NotFound", f"{request.path} not found")]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            return await answer(request)
        code, thing = answer
        if isinstance(thing, web.StreamResponse):
            return thing
        return web.json_response(thing, status=code)


def _body(request: web.Request, body: bytes) -> Any:
    if request.content_type == "application/octet-stream":
        return body
    return json.loads(body) if body else None


@dataclass
class Proxy:
    """CONNECT only, with a password if `password` is set."""

    password: str = ""
    targets: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split()
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        self.headers.append(headers)
        expected = "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()
        if self.password and headers.get("Proxy-Authorization") != expected:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif method != "CONNECT":
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
        else:
            self.targets.append(target)
            host, _, port = target.rpartition(":")
            above, below = await asyncio.open_connection(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as group:
                group.create_task(_relay(reader, below), name="proxy up")
                group.create_task(_relay(above, writer), name="proxy down")
        await _end(writer)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # either end of a relay may break; the other then ends too
    await _end(writer)


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        return
