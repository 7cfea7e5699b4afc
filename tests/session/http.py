"""A developer's process that speaks HTTP, and a caller in the cluster's place; tests of metrics and of the dash use both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from tests.leaving import clean_up
from tests.session.scene import Scene


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


Ask = Callable[..., Awaitable[Answer]]


@asynccontextmanager
async def http_process(seen: list[web.Request] | None = None, port: int = 0) -> AsyncIterator[int]:
    """Answers any path with what it was asked; /fail with 500, /slow after a moment."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        if seen is not None:
            seen.append(request)
        if request.path == "/slow":
            await asyncio.sleep(0.2)
        status = 500 if request.path.startswith("/fail") else 200
        text = json.dumps({"path": request.path, "method": request.method, "body": body.decode("utf-8", "replace")})
        return web.Response(text=text, status=status, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await clean_up(runner)


@asynccontextmanager
async def caller(scene: Scene, port: int = 8080) -> AsyncIterator[Ask]:
    """Asks the workload's Service."""
    spec = (await scene.api.get(scene.api.path("services", scene.name)))["spec"]
    async with aiohttp.ClientSession(f"http://{spec['clusterIP']}:{port}") as client:

        async def ask(method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
            async with client.request(method, path, headers=headers, data=body) as answer:
                return Answer(answer.status, dict(answer.headers), await answer.read())

        yield ask
