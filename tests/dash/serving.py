"""A page served for a test: the same parts in the same way as `interceptor dash` puts them together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from interceptor.dash.app import Dash
from interceptor.dash.watching import Watching
from interceptor.session.options import Access
from interceptor.session.tap import find_session
from interceptor.web.loopback import application, origin_of, reserve, serve

TOKEN = "test-token_0123456789"


@dataclass
class Served:
    origin: str
    watching: Watching

    @property
    def address(self) -> str:
        return f"{self.origin}/?token={TOKEN}"


@asynccontextmanager
async def serving(access: Access, target: str, *, secrets: bool = False) -> AsyncIterator[Served]:
    session = await find_session(access, target)
    watching = Watching(access, target)
    with reserve(0, "--port") as sock:
        app = application(sock)
        Dash(watching, access, TOKEN, secrets=secrets).add_to(app)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(watching.follow(session), name="watch the session"),
                group.create_task(serve(app, sock), name="serve the page"),
            ]
            try:
                yield Served(origin_of(sock), watching)
            finally:
                for task in tasks:
                    task.cancel()
