"""Datagrams that leave a sandbox: `session` runs it beside COMMAND. Names go to `dns.resolver`, all else has its flow.

A flow is a stream to the agent for each pair of addresses; it ends when the agent has seen nothing for a minute. Answers
are written into the sandbox as packets that come from where the datagram went.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from interceptor.sandbox import doors
from interceptor.sandbox.dns.cache import Cache
from interceptor.sandbox.dns.resolver import PORT, Resolver
from interceptor.sandbox.kernel import packets
from interceptor.sandbox.kernel.packets import End
from interceptor.tunnel.client import Outgoing
from interceptor.tunnel.datagrams import Datagrams as Framed
from interceptor.tunnel.errors import StreamRefused

MOST_FLOWS = 2048  # the one that has been quiet longest makes room
MOST_PENDING = 32  # datagrams that wait for the pod's socket
_LONGEST = 65536
_AT_ONCE = 64
_IP_ORIGDSTADDR, _IPV6_ORIGDSTADDR = 20, 74

OnDatagram = Callable[[bytes | None], None]


class Dialer(Protocol):
    """Whoever can send datagrams from inside the pod."""

    async def open_flow(self, host: str, port: int) -> Outgoing:
        """Open a stream of datagrams, see `tunnel.datagrams`; raises StreamRefused."""


class Datagrams:
    """The datagrams of one sandbox."""

    def __init__(self, opened: Mapping[str, socket.socket], servers: Sequence[str], dialer: Dialer) -> None:
        self._sockets = {
            family: (opened[udp], opened[raw])
            for family, udp, raw in (
                (socket.AF_INET, doors.UDP4, doors.RAW4),
                (socket.AF_INET6, doors.UDP6, doors.RAW6),
            )
            if udp in opened
        }
        self._dialer = dialer
        self._servers = servers
        self._resolvers: dict[str, Resolver] = {}
        self._flows: dict[tuple[End, End], _Flow] = {}  # the quietest first

    async def serve(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        cache = Cache()
        try:
            async with asyncio.TaskGroup() as group:
                for server in self._servers:
                    make = partial(_Flow, group, self._dialer, (server, PORT))
                    self._resolvers[server] = Resolver(server, cache, make)
                for family, (udp, _) in self._sockets.items():
                    loop.add_reader(udp, self._read, group, family)
                await loop.create_future()
        finally:
            for udp, _ in self._sockets.values():
                loop.remove_reader(udp)
            for flow in self._flows.values():
                flow.close()

    def _read(self, group: asyncio.TaskGroup, family: int) -> None:
        udp, _ = self._sockets[socket.AddressFamily(family)]
        for _ in range(_AT_ONCE):
            try:
                datagram, ancillary, _, peer = udp.recvmsg(_LONGEST, 64)
            except BlockingIOError:
                return
            source, target = peer[:2], _original(family, ancillary)
            resolver = self._resolvers.get(target[0]) if target[1] == PORT else None
            if resolver is not None:
                resolver.ask(datagram, partial(self._answer, family, source, target))
            else:
                self._flow(group, family, source, target).send(datagram)

    def _flow(self, group: asyncio.TaskGroup, family: int, source: End, target: End) -> _Flow:
        key = source, target
        flow = self._flows.pop(key, None)
        if flow is None:
            if len(self._flows) >= MOST_FLOWS:
                self._flows.pop(next(iter(self._flows))).close()
            answer = partial(self._answer, family, source, target)
            flow = _Flow(group, self._dialer, target, answer, on_end=partial(self._forget, key))
        self._flows[key] = flow
        return flow

    def _forget(self, key: tuple[End, End]) -> None:
        self._flows.pop(key, None)

    def _answer(self, family: int, source: End, target: End, datagram: bytes | None) -> None:
        """Give COMMAND what came back from `target`; None is a refusal."""
        _, raw = self._sockets[socket.AddressFamily(family)]
        if datagram is None:
            packet = packets.port_unreachable(family, source, target)
        else:
            packet = packets.datagram(family, target, source, datagram)
        try:
            raw.sendto(packet, (source[0], 0))
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE):  # lost, as datagrams may be
                raise


class _Flow:
    """Datagrams between COMMAND and one place, by a stream that is opened when the first one comes, and again."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        dialer: Dialer,
        target: End,
        on_datagram: OnDatagram,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._group, self._dialer, self._target = group, dialer, target
        self._on_datagram, self._on_end = on_datagram, on_end
        self._framed: Framed | None = None
        self._opening: asyncio.Task[None] | None = None
        self._pending: list[bytes] = []

    def send(self, datagram: bytes) -> None:
        """Send one, or lose it."""
        if self._framed is not None and not self._framed.closed:
            self._framed.send(datagram)
            return
        if len(self._pending) < MOST_PENDING:
            self._pending.append(datagram)
        if self._opening is None:
            self._opening = self._group.create_task(self._open(), name=f"flow to {self._target[0]}:{self._target[1]}")

    def close(self) -> None:
        """Nobody needs it any more."""
        if self._opening is not None:
            self._opening.cancel()
        if self._framed is not None:
            self._framed.close()

    async def _open(self) -> None:
        try:
            outgoing = await self._dialer.open_flow(*self._target)
        except StreamRefused:  # no route, or no agent just now: lost, as datagrams may be
            self._pending.clear()
            self._on_end()
            return
        finally:
            self._opening = None
        self._framed = outgoing.datagrams(self._on_datagram, self._on_end)
        pending, self._pending = self._pending, []
        for datagram in pending:
            self._framed.send(datagram)


def _original(family: int, ancillary: list[tuple[int, int, bytes]]) -> End:
    """Where a datagram was meant for."""
    for _, kind, data in ancillary:
        if kind in (_IP_ORIGDSTADDR, _IPV6_ORIGDSTADDR):
            (port,) = struct.unpack_from("!H", data, 2)
            host = data[4:8] if family == socket.AF_INET else data[8:24]
            return socket.inet_ntop(family, host), port
    raise AssertionError("the kernel did not say where a datagram was meant for")
