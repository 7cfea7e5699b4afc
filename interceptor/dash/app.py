"""The page's web application: page, stream of news, a request's detail, its replay; `cli.dash` serves it.

Who has the address may see and replay what passes the intercept. The address holds a token, which the page sends as a
header with whatever it asks: nothing is granted by a cookie, which any other port of this machine could be sent, or by
where a request comes from. Strangers are refused before: see `web.loopback`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from importlib.resources import files
from typing import Any

from aiohttp import web

from interceptor.dash.flow import Flow
from interceptor.dash.kept import Kept
from interceptor.dash.replays import Replays
from interceptor.dash.watching import Watching
from interceptor.errors import InterceptorError, UsageError
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.sockets import Running
from interceptor.session.options import Access
from interceptor.session.tap import TapOptions, follow_session

MOST_PAGES = 8
NEWS_EVERY = 0.5
SILENT_AT_MOST = 5.0  # a page that hears nothing for longer says so
BODIES = 16 * 1024  # bytes of each body that are kept for the detail and for replay
ASSETS = {"dash.js": "text/javascript", "dash.css": "text/css", "icon.svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

Object = dict[str, Any]


class Dash:
    """The handlers, and what they share."""

    def __init__(self, watching: Watching, access: Access, token: str, *, secrets: bool = False) -> None:
        self._watching, self._access, self._token, self._secrets = watching, access, token, secrets
        self._kept = Kept()
        self._replays = Replays()

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/", self._page)
        for name in ASSETS:
            app.router.add_get(f"/{name}", self._asset)
        app.router.add_get("/api/news", self._news)
        app.router.add_get("/api/requests/{number:[0-9]{1,15}}", self._request)
        app.router.add_post("/api/requests/{number:[0-9]{1,15}}/replay", self._replay)

    # --- the page ------------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        self._check(request.query.get("token", ""))
        text = _file("index.html").decode().replace("{token}", self._token)
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def _asset(self, request: web.Request) -> web.Response:
        self._check(request.query.get("token", ""))
        name = request.path.removeprefix("/")
        return web.Response(body=_file(name), content_type=ASSETS[name], charset="utf-8")

    def _check(self, token: str) -> None:
        """Raises HTTPForbidden."""
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            raise web.HTTPForbidden(text="the address that interceptor dash printed has a token, this one does not\n")

    def _check_header(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        self._check(token if scheme.lower() == "bearer" else "")

    # --- what it asks ----------------------------------------------------------------------------------------------

    async def _request(self, request: web.Request) -> web.Response:
        self._check_header(request)
        return web.json_response(self._find(request))

    async def _replay(self, request: web.Request) -> web.Response:
        self._check_header(request)
        record = self._find(request)
        try:
            return web.json_response(await self._replays.replay(record, self._watching.state))
        except InterceptorError as error:
            return web.json_response({"refused": error.message}, status=409)

    def _find(self, request: web.Request) -> Object:
        record = self._kept.get(int(request.match_info["number"]))
        if record is None:
            raise web.HTTPNotFound(text="this request is no longer kept\n")
        return record

    async def _news(self, request: web.Request) -> web.StreamResponse:
        """Lines of JSON, as long as the page stays."""
        self._check_header(request)
        try:
            options = self._options(request.query)
        except InterceptorError as error:
            return web.json_response({"refused": error.message}, status=400)
        if self._watching.watched >= MOST_PAGES:
            raise web.HTTPServiceUnavailable(text=f"{MOST_PAGES} pages are open already\n")
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
        self._watching.enter()
        try:
            await response.prepare(request)
            await self._tell(response, options)
        except* ConnectionError:  # the page was closed
            pass
        finally:
            self._watching.leave()
        return response

    def _options(self, query: Mapping[str, str]) -> TapOptions:
        """What this page wants to see. Raises UsageError."""

        def several(name: str) -> tuple[str, ...]:
            return tuple(part for part in query.get(name, "").replace(",", " ").split() if part)

        try:
            least = float(query.get("min_ms") or 0) / 1000
        except ValueError:
            raise UsageError(f"{query['min_ms']!r} is not a time in milliseconds") from None
        wanted = Filter.from_json(
            {
                "methods": several("method"),
                "paths": several("path"),
                "statuses": several("status"),
                "traces": [trace.lower() for trace in several("trace")],
                "min_latency": least,
                "direction": query.get("direction", ""),
            }
        )
        return TapOptions(None, wanted, several("from"), secrets=self._secrets, bodies=BODIES, access=self._access)

    async def _tell(self, response: web.StreamResponse, options: TapOptions) -> None:
        flow, told = Flow(self._kept.add), dict[str, int]()
        loop = asyncio.get_running_loop()
        await _line(response, {"history": self._history()})
        async with _tapping(self._watching, options, flow) as tapping:
            spoke = loop.time()
            while True:
                news = self._watching.news(told)
                if (requests := flow.take()) is not None:
                    news["requests"] = requests
                if news or loop.time() - spoke > SILENT_AT_MOST - NEWS_EVERY * 2:
                    spoke = loop.time()
                    await _line(response, news)  # waits for a slow page; what passes meanwhile is counted by the flow
                await asyncio.wait([tapping], timeout=NEWS_EVERY)
                if tapping.done():
                    return

    def _history(self) -> list[Object]:
        return [
            {
                "direction": direction,
                "service": service,
                "route": route,
                "points": list(points)[:-1],
            }  # the last one comes with the routes
            for (direction, service, route), points in self._watching.history.points.items()
        ]


async def _line(response: web.StreamResponse, value: Object) -> None:
    await response.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")


@asynccontextmanager
async def _tapping(watching: Watching, options: TapOptions, flow: Flow) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_tap(watching, options, flow), name="tap for a page")
        try:
            yield task
        finally:
            task.cancel()


async def _tap(watching: Watching, options: TapOptions, flow: Flow) -> None:
    """Feed a page's flow from one session after the other."""
    while True:
        session: Running | None = watching.session
        if session is not None:
            try:
                async with aclosing(follow_session(session, options)) as records:
                    async for record in records:
                        flow.add(record)
            except InterceptorError as error:
                flow.trouble = f"requests can't be followed: {error.message}"
            except OSError:  # the session has just ended, as `watching` says
                pass
        await asyncio.sleep(NEWS_EVERY)


def _file(name: str) -> bytes:
    return (files("interceptor.dash") / "page" / name).read_bytes()
