"""A Dialer that connects on this machine: what the tunnel does in the pod, by a socket and two copying tasks."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from interceptor.sandbox.proxy import Proxy
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire.reasons import Reason


class LoopbackStream:
    """One connected stream; relays both ways, half-close included."""

    def __init__(self, dialer: "LoopbackDialer", far: socket.socket) -> None:
        self._dialer = dialer
        self._far = far

    def attach(self, sock: socket.socket, early: bytes) -> None:
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        self._dialer.tasks.create_task(self._relay(sock, early), name="relay")

    def abandon(self) -> None:
        self._far.close()
        self._dialer.abandoned += 1

    async def _relay(self, near: socket.socket, early: bytes) -> None:
        with near, self._far:
            await asyncio.get_running_loop().sock_sendall(self._far, early)
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(near, self._far), name="out")
                group.create_task(_copy(self._far, near), name="back")


async def _copy(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, 65536):
        await loop.sock_sendall(sink, data)
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the sink has closed both ways already


class LoopbackDialer:
    """Resolves the names it is given and dials them for real; `refuse` makes it refuse like a pod would."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.tasks = tasks
        self.names: dict[str, str] = {}
        self.dialed: list[tuple[str, int]] = []
        self.refuse: StreamRefused | None = None
        self.hang = False
        self.abandoned = 0

    async def dial(self, host: str, port: int) -> LoopbackStream:
        self.dialed.append((host, port))
        if self.hang:
            await asyncio.Event().wait()
        if self.refuse is not None:
            raise self.refuse
        if host not in self.names:
            raise StreamRefused(Reason.NAME, f"{host} does not resolve")
        far = socket.socket()
        far.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(far, (self.names[host], port))
        except OSError as error:
            far.close()
            raise StreamRefused(Reason.REFUSED, "nothing listens there") from error
        return LoopbackStream(self, far)


@asynccontextmanager
async def proxy_running(**options: float) -> AsyncIterator[tuple[Proxy, LoopbackDialer]]:
    """Serve a Proxy with a LoopbackDialer that knows the names `orders`, `::1` and 127.0.0.1."""
    async with asyncio.TaskGroup() as tasks:
        dialer = LoopbackDialer(tasks)
        dialer.names = {"orders": "127.0.0.1", "127.0.0.1": "127.0.0.1"}
        proxy = Proxy(dialer, **options)
        serving = tasks.create_task(proxy.serve(), name="proxy")
        try:
            yield proxy, dialer
        finally:
            serving.cancel()
