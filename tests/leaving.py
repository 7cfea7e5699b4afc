"""A test's server ends with all whom it had accepted; those that aiohttp serves call it.

Two kinds of connection would be left, for a later test to find as an unclosed transport. One that is accepted in the very
pass of the loop before the one that closes the server: its transport is half made and forgotten
(python/cpython#109564). And one whose TLS handshake is under way: aiohttp's own cleanup knows it only afterwards.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

WITHIN = 30.0


async def clean_up(runner: web.AppRunner) -> None:
    """Like its `cleanup`: nobody is accepted any more, then the server closes, then the last connection."""
    loop = asyncio.get_running_loop()
    listening = [server for site in runner.sites if (server := getattr(site, "_server", None)) is not None]
    for server in listening:
        for sock in server.sockets:
            loop.remove_reader(sock.fileno())
    for _ in range(2):  # whoever was accepted has a transport now
        await asyncio.sleep(0)
    known = runner.server
    await runner.cleanup()
    async with asyncio.timeout(WITHIN):
        while known is not None and any(map(_connected, listening)):
            await known.shutdown(0.1)  # those whose handshake was done meanwhile
            await asyncio.sleep(0.005)


def _connected(server: object) -> bool:
    """Whether it has accepted somebody who is not gone; `wait_closed` waits for them from Python 3.12 on only."""
    return bool(getattr(server, "_active_count", 0) or getattr(server, "_clients", None))
