"""Datagrams of callers reach the developer's process, whole, each caller's apart, and the answers come back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from interceptor.tunnel.aio import AsyncioPoller
from interceptor.tunnel.local import LocalSide
from tests.agent.running import Agent, running_agent, tunnel_to

PORT = 5300


def bound(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Agent, socket.socket]]:
    """An agent with one UDP port, and the developer's socket for it."""
    loop = asyncio.get_running_loop()
    with running_agent(folder, datagrams=[PORT]) as agent, bound() as server:
        places = {("UDP", PORT): [(socket.AF_INET, server.getsockname())]}
        local = LocalSide(AsyncioPoller(loop), places, 1.0, lambda *_: None)
        async with tunnel_to(agent, local, arm=False):
            yield agent, server


async def heard(sock: socket.socket) -> tuple[bytes, tuple[str, int]]:
    async with asyncio.timeout(30):
        return await asyncio.get_running_loop().sock_recvfrom(sock, 65536)


async def test_datagrams_go_both_ways(tmp_path: Path) -> None:
    async with served(tmp_path) as (agent, server):
        with bound() as one, bound() as two:
            for size in (0, 1, 25_000, 60_000):
                for caller, letter in ((one, b"1"), (two, b"2")):
                    caller.sendto(letter * size, (agent.bind, PORT))
                    data, flow = await heard(server)
                    assert data == letter * size
                    server.sendto(b"answer " + data, flow)
                    data, peer = await heard(caller)
                    assert data == b"answer " + letter * size
                    assert peer == (agent.bind, PORT)


async def test_callers_have_flows_of_their_own(tmp_path: Path) -> None:
    async with served(tmp_path) as (agent, server):
        with bound() as one, bound() as two:
            flows = []
            for caller in (one, two, one):
                caller.sendto(b"?", (agent.bind, PORT))
                flows.append((await heard(server))[1])
            assert flows[0] == flows[2] != flows[1]
            server.sendto(b"late", flows[1])
            assert (await heard(two))[0] == b"late"


async def test_refusal_is_survived(tmp_path: Path) -> None:
    """Nobody listens for a while: what is sent then is lost, what comes later is not."""
    async with served(tmp_path) as (agent, server):
        address = server.getsockname()
        server.close()
        with bound() as caller:
            caller.sendto(b"lost", (agent.bind, PORT))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                again.setblocking(False)
                again.bind(address)
                for _ in range(100):
                    caller.sendto(b"heard", (agent.bind, PORT))
                    try:
                        async with asyncio.timeout(0.2):
                            data, _ = await asyncio.get_running_loop().sock_recvfrom(again, 100)
                    except TimeoutError:
                        continue
                    break
                assert data in (b"heard", b"lost")


async def test_unknown_port_is_denied(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with running_agent(tmp_path, datagrams=[PORT]) as agent, bound() as caller:
        async with tunnel_to(agent, LocalSide(AsyncioPoller(loop), {}, 1.0, lambda *_: None), arm=False) as tunnel:
            caller.sendto(b"?", (agent.bind, PORT))
            assert (await tunnel.ask("network"))["addresses"]  # the tunnel lives on
