"""The ways between two sockets that the contract is tested on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from interceptor.tunnel.client import Tunnel
from tests.agent.running import APP, Agent, local_side, tunnel_to
from tests.tunnel.contract import MIB, Connection


class Server:
    """The called process: a listening socket whose connections the test takes one by one."""

    def __init__(self, port: int = 0) -> None:
        self._sock = socket.create_server(("127.0.0.1", port), backlog=1000)
        self._sock.setblocking(False)
        self.port: int = self._sock.getsockname()[1]

    async def accept(self) -> socket.socket:
        async with asyncio.timeout(20):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._sock)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def close(self) -> None:
        self._sock.close()


async def connect(host: str, port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    async with asyncio.timeout(20):
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class PlainWay:
    """Nothing in between: what the contract's words mean."""

    patience = 30.0
    most_clogged = 16 * MIB

    def __init__(self, server: Server) -> None:
        self._server = server

    async def connect(self) -> Connection:
        near = await connect("127.0.0.1", self._server.port)
        return near, await self._server.accept()

    def alive(self) -> int:
        return 0


class InboundWay:
    """A caller of the pod's port, and the developer's process."""

    patience = 60.0
    most_clogged = 48 * MIB  # the kernel's buffers of two TCP connections, and a window

    def __init__(self, tunnel: Tunnel, server: Server, host: str) -> None:
        self._tunnel, self._server, self._host = tunnel, server, host

    async def connect(self) -> Connection:
        near = await connect(self._host, APP)
        return near, await self._server.accept()

    def alive(self) -> int:
        return self._tunnel.streams


class OutboundWay(InboundWay):
    """The developer's process, and what it calls in the cluster. `host` None: the called is this process itself."""

    def __init__(self, tunnel: Tunnel, server: Server, host: str, port: int) -> None:
        super().__init__(tunnel, server, host)
        self._port = port
        self._doorstep = Server()

    async def connect(self) -> Connection:
        outgoing = await self._tunnel.dial(self._host, self._port)
        near = await connect("127.0.0.1", self._doorstep.port)  # not a socketpair: those know no reset
        outgoing.attach(await self._doorstep.accept())
        return near, await self._server.accept()

    def close(self) -> None:
        self._doorstep.close()


@asynccontextmanager
async def inbound(agent: Agent) -> AsyncIterator[InboundWay]:
    server = Server()
    async with tunnel_to(agent, local_side({APP: server.port})) as tunnel:
        yield InboundWay(tunnel, server, agent.bind)
    server.close()


@asynccontextmanager
async def outbound(agent: Agent) -> AsyncIterator[OutboundWay]:
    server = Server()
    async with tunnel_to(agent, local_side({})) as tunnel:
        way = OutboundWay(tunnel, server, "127.0.0.1", server.port)
        yield way
        way.close()
    server.close()


@asynccontextmanager
async def there_and_back(tunnel: Tunnel, server: Server, host: str) -> AsyncIterator[OutboundWay]:
    """Out from the pod to the pod's own port, and in again: both ends are here, and the tunnel is passed twice."""
    way = OutboundWay(tunnel, server, host, APP)
    yield way
    way.close()
