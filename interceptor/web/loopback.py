"""A web server on loopback that only this machine's user can have meant; `session.metrics` and `dash` serve with it.

Every page in a browser may send requests to loopback, and whoever owns a name may let it point there (DNS rebinding). So
what asks for another host than ours, or comes from another site's page, is refused before a handler sees it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from interceptor.errors import InterceptorError

ADDRESS: Final = "127.0.0.1"
MOST_BODY = 64 * 1024  # bytes of a request
CLOSE_WITHIN = 1.0  # seconds that answers under way get at the end


def reserve(port: int, option: str) -> socket.socket:
    """A listening socket, also before there is anything to serve; 0 takes a free port. Raises InterceptorError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ADDRESS, port))
        sock.listen()
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        text = f"can't listen on {ADDRESS}:{port}: {error.strerror or error}"
        raise InterceptorError(text, hint=f"choose another {option}, or 0 for a free one") from error
    return sock


def origin_of(sock: socket.socket) -> str:
    """`http://127.0.0.1:PORT`."""
    return f"http://{ADDRESS}:{sock.getsockname()[1]}"


def application(sock: socket.socket) -> web.Application:
    """One without handlers yet, which refuses strangers."""
    port = sock.getsockname()[1]
    hosts = frozenset({f"{ADDRESS}:{port}", f"localhost:{port}"})

    @web.middleware
    async def refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
        if why := _stranger(request, hosts):
            raise web.HTTPForbidden(text=f"{why}\n")
        return await handler(request)

    app = web.Application(middlewares=[refuse_strangers], client_max_size=MOST_BODY)
    app.on_response_prepare.append(_harden)
    return app


def _stranger(request: web.Request, hosts: frozenset[str]) -> str:
    """Why a request can't be its user's own; "" if it can."""
    asked = request.headers.getall("Host", [])
    if len(asked) != 1 or asked[0].lower() not in hosts:
        return "this host is not served here"
    origins = request.headers.getall("Origin", [])
    if any(origin != f"http://{asked[0].lower()}" for origin in origins):
        return "other origins are not served"
    # A link somewhere else may lead here, with nothing but what stands in the address; a page may not ask from there.
    followed = (
        request.headers.get("Sec-Fetch-Mode") == "navigate" and request.headers.get("Sec-Fetch-Dest") == "document"
    )
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not followed:
        return "other sites are not served"
    return ""


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in (
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
    ):
        response.headers.setdefault(name, value)


async def serve_text(sock: socket.socket, path: str, answer: Callable[[str], tuple[str, bytes]]) -> None:
    """Answer one path until cancelled; `answer` makes the content type and the text of what a client accepts."""

    async def get(request: web.Request) -> web.Response:
        kind, text = answer(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": kind})

    app = application(sock)
    app.router.add_get(path, get)
    await serve(app, sock)


async def serve(app: web.Application, sock: socket.socket) -> None:
    """Answer until cancelled."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=CLOSE_WITHIN)
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()
