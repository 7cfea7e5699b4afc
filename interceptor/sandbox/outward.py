"""TCP connections that leave a sandbox: each first packet waits in the kernel until the pod has connected, or can't.

`session` runs it beside COMMAND. Way of a connection: queue -> the pod dials -> the packet goes on to our listener, and
the socket that comes out of it is the tunnel's; or to the kernel's own answer, a reset or an ICMP message, from which
connect() gets the errno that it would get in the pod. A dial that times out, and one for which no agent is connected
just now, loses the packet: the kernel sends it again after 1, 3, 7 ... seconds and gives up by itself, as in the pod.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from interceptor.sandbox import doors
from interceptor.sandbox.kernel import nfqueue, rules
from interceptor.sandbox.kernel.nfqueue import Pair
from interceptor.sandbox.machine import Machine
from interceptor.sandbox.ports import NO_MEANS, PAUSE
from interceptor.sandbox.proxy import Outgoing
from interceptor.tunnel.client import Done
from interceptor.tunnel.errors import StreamRefused
from interceptor.tunnel.relay import reset
from interceptor.wire.reasons import Reason

MOST_DIALS = 4096  # under way; who comes then is asked to come again, by a packet lost
ARRIVAL = 5.0  # seconds from our verdict until the connection comes out of the listener: else its program gave up
_READ = 16 * 1024
_AT_ONCE = 64  # packets or connections in one pass of the loop
_MARKS = {
    Reason.REFUSED: rules.REFUSE,
    Reason.UNREACHABLE: rules.HOST_UNREACHABLE,
    Reason.NETWORK: rules.NET_UNREACHABLE,
    Reason.DENIED: rules.PROHIBIT,
    Reason.BROKEN: rules.REFUSE,
}


class Opening(Protocol):
    """A connection that the pod is about to make."""

    def cancel(self) -> object:
        """Give it up; nobody is told."""


class Dialer(Protocol):
    """Whoever can connect from inside the pod."""

    def begin(self, host: str, port: int, done: Done, /) -> Opening:
        """Connect as the pod would, and say later how that went; raises StreamRefused when it can't even be tried."""


@dataclass(slots=True)
class _Dialled:
    """The pod is connected; the local half is on its way to our listener."""

    outgoing: Outgoing
    forgotten: asyncio.TimerHandle


class Outward:
    """The connections of one sandbox."""

    def __init__(self, opened: Mapping[str, socket.socket], dialer: Dialer, machine: Machine) -> None:
        self._queue = opened[doors.QUEUE]
        self._listeners = [opened[name] for name in (doors.TCP4, doors.TCP6) if name in opened]
        self._dialer, self._machine = dialer, machine
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[Pair, Opening | asyncio.Task[None]] = {}
        self._dialled: dict[Pair, _Dialled] = {}
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}

    async def serve(self) -> None:
        """Serve until cancelled. What is connected by then is the tunnel's."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as dials:
                loop.add_reader(self._queue, self._read_queue, dials)
                for listener in self._listeners:
                    loop.add_reader(listener, self._accept, listener)
                await loop.create_future()
        finally:
            for sock in (self._queue, *self._listeners):
                loop.remove_reader(sock)
            for pause in self._paused.values():
                pause.cancel()
            self._paused.clear()
            for opening in self._under_way.values():
                opening.cancel()
            self._under_way.clear()
            for dialled in self._dialled.values():
                dialled.forgotten.cancel()
                dialled.outgoing.abandon()
            self._dialled.clear()

    def _read_queue(self, dials: asyncio.TaskGroup) -> None:
        for _ in range(_AT_ONCE):  # each read gives one packet
            try:
                self._take(dials, self._queue.recv(_READ))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # packets were lost on the way to us: they come again
                    raise

    def _take(self, dials: asyncio.TaskGroup, data: bytes) -> None:
        for packet in nfqueue.packets(data):
            pair = packet.pair
            if pair in self._dialled:
                self._say(nfqueue.accept(packet.number, rules.LEAD))
            elif pair in self._under_way or len(self._under_way) >= MOST_DIALS:
                self._say(nfqueue.drop(packet.number))
            else:
                self._dial(dials, packet)

    def _dial(self, dials: asyncio.TaskGroup, packet: nfqueue.Packet) -> None:
        """Connect to where the packet was meant for: a place of this machine, or the pod's (its own loopback, too)."""
        pair = packet.pair
        address, port = pair.target
        if self._machine.has(address, port):
            dialling = self._dial_here(packet)
            self._under_way[pair] = dials.create_task(dialling, name=f"dial {address}:{port} on this machine")
            return
        try:
            self._under_way[pair] = self._dialer.begin(address, port, partial(self._answered, packet))
        except StreamRefused as refused:
            self._answered(packet, None, refused)

    async def _dial_here(self, packet: nfqueue.Packet) -> None:
        try:
            outgoing = await self._machine.dial(*packet.pair.target)
        except StreamRefused as refused:
            self._answered(packet, None, refused)
        else:
            self._answered(packet, outgoing, None)

    def _answered(self, packet: nfqueue.Packet, outgoing: Outgoing | None, refused: StreamRefused | None) -> None:
        pair = packet.pair
        self._under_way.pop(pair, None)
        if outgoing is not None:
            forgotten = self._loop.call_later(ARRIVAL, self._forget, pair)
            self._dialled[pair] = _Dialled(outgoing, forgotten)
            self._say(nfqueue.accept(packet.number, rules.LEAD))
        elif refused is not None:
            mark = _MARKS.get(refused.reason)
            self._say(nfqueue.drop(packet.number) if mark is None else nfqueue.accept(packet.number, mark))

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NO_MEANS:
                    raise
                self._loop.remove_reader(listener)
                self._paused[listener] = self._loop.call_later(PAUSE, self._accept_again, listener)
                return
            self._attach(sock, peer)

    def _accept_again(self, listener: socket.socket) -> None:
        del self._paused[listener]
        self._loop.add_reader(listener, self._accept, listener)

    def _attach(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        dialled = self._dialled.pop(Pair(peer[:2], sock.getsockname()[:2]), None)
        if dialled is None:  # it knocked at our listener itself, or was too late
            reset(sock)
            return
        dialled.forgotten.cancel()
        sock.setblocking(False)
        dialled.outgoing.attach(sock, b"")

    def _forget(self, pair: Pair) -> None:
        self._dialled.pop(pair).outgoing.abandon()

    def _say(self, verdict: bytes) -> None:
        try:
            self._queue.send(verdict)
        except OSError as error:
            # The packet stays queued without a verdict until the sandbox ends; its program's kernel sends another.
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise
