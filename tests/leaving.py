"""A server with TLS ends with all whom it had accepted: the API servers of `agent` and `kube` call it.

aiohttp's own cleanup closes the connections that it knows, and it learns of one only when its handshake is done. A client
that is killed, or leaves, in that moment leaves a transport that nobody closes: it would be found in a later test.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

WITHIN = 30.0


async def clean_up(runner: web.AppRunner) -> None:
    """Like its `cleanup`, to the end of the last connection."""
    listening = [getattr(site, "_server", None) for site in runner.sites]
    known = runner.server
    await runner.cleanup()
    async with asyncio.timeout(WITHIN):
        while known is not None and any(map(_connected, listening)):
            await known.shutdown(0.1)  # those whose handshake was done meanwhile
            await asyncio.sleep(0.005)


def _connected(server: object) -> bool:
    """Whether it has accepted somebody who is not gone; `wait_closed` waits for them from Python 3.12 on only."""
    return bool(getattr(server, "_active_count", 0) or getattr(server, "_clients", None))
