"""Datagrams of the local process leave the pod, and what comes back is its."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interceptor.tunnel.client import Tunnel
from interceptor.tunnel.datagrams import Datagrams
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire.reasons import Reason
from tests.agent.running import local_side, running_agent, tunnel_to


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[Tunnel]:
    with running_agent(folder) as agent:
        async with tunnel_to(agent, local_side({}), arm=False) as tunnel:
            yield tunnel


@asynccontextmanager
async def flow(tunnel: Tunnel, port: int) -> AsyncIterator[tuple[Datagrams, asyncio.Queue[bytes | None]]]:
    heard: asyncio.Queue[bytes | None] = asyncio.Queue()
    outgoing = await tunnel.open({"host": "127.0.0.1", "port": port, "udp": True}, "flow")
    with contextlib.closing(outgoing.datagrams(heard.put_nowait, lambda: None)) as made:
        yield made, heard


async def test_answers_come_back(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        async with connected(tmp_path) as tunnel, flow(tunnel, server.getsockname()[1]) as (sent, heard):
            for size in (0, 1, 9000):
                sent.send(b"q" * size)
                data, peer = await asyncio.get_running_loop().sock_recvfrom(server, 65536)
                assert data == b"q" * size
                server.sendto(b"a" * size, peer)
                async with asyncio.timeout(30):
                    assert await heard.get() == b"a" * size


async def test_refusal_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    async with connected(tmp_path) as tunnel, flow(tunnel, port) as (sent, heard):
        sent.send(b"anybody?")
        async with asyncio.timeout(30):
            assert await heard.get() is None


async def test_names_are_denied(tmp_path: Path) -> None:
    async with connected(tmp_path) as tunnel:
        with pytest.raises(StreamRefused) as caught:
            await tunnel.open({"host": "localhost", "port": 53, "udp": True}, "flow")
        assert caught.value.reason is Reason.DENIED


async def test_place_in_network_is_told(tmp_path: Path) -> None:
    resolv, hosts = await asyncio.to_thread(
        lambda: [Path(f"/etc/{name}").read_text() for name in ("resolv.conf", "hosts")]
    )
    async with connected(tmp_path) as tunnel:
        network = await tunnel.ask("network")
    assert network["hostname"] == socket.gethostname()
    assert network["resolv"] == resolv
    assert network["hosts"] == hosts
    assert network["addresses"]
