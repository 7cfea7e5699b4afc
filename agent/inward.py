"""Datagrams that callers send to one of the app's ports: a stream of them for each caller. `__main__` makes one per port.

Nothing is held for a client that is not there, and nothing is handed on to other pods: who sends datagrams sends them again.
"""

from __future__ import annotations

import errno
import functools
import socket
from collections.abc import Callable

from agent.binding import bind
from interceptor.tunnel.datagrams import Datagrams
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.poller import Poller
from interceptor.tunnel.relay import Relay
from interceptor.wire.reasons import Reason

IDLE = 60.0  # seconds without a datagram either way
LOOK_EVERY = 5.0
MOST_FLOWS = 4096  # the caller that has been quiet longest makes room
MOST_PENDING = 32  # datagrams of a caller while the client connects
_LONGEST = 65536
_AT_ONCE = 64
_LOST = (
    errno.EAGAIN,
    errno.ENOBUFS,
    errno.EMSGSIZE,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ECONNREFUSED,
    errno.EPERM,
)


class Inward:
    """One UDP port of the pod. `mux` says where callers go just now."""

    def __init__(self, poller: Poller, host: str, port: int, mux: Callable[[], Mux | None]) -> None:
        self._poller, self._mux = poller, mux
        self.port = port
        self._sock = bind(host, port, socket.SOCK_DGRAM)
        self._flows: dict[tuple[str, int], _Flow] = {}  # the quietest first
        poller.readable(self._sock.fileno(), self._receive)
        self._timer = poller.call_later(LOOK_EVERY, self._look)

    def close(self) -> None:
        """Take no more; a second call does nothing."""
        if self._sock.fileno() >= 0:
            self._timer.cancel()
            self._poller.readable(self._sock.fileno(), None)
            for flow in list(self._flows.values()):
                flow.close()
            self._flows.clear()
            self._sock.close()

    def _receive(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                datagram, peer = self._sock.recvfrom(_LONGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _LOST:  # what ICMP says of an answer of ours
                    raise
                continue
            flow = self._flows.pop(peer, None) or self._begin(peer)
            if flow is not None:
                self._flows[peer] = flow
                flow.send(datagram, self._poller.now())

    def _begin(self, peer: tuple[str, int]) -> _Flow | None:
        mux = self._mux()
        if mux is None:
            return None
        if len(self._flows) >= MOST_FLOWS:
            self._flows.pop(next(iter(self._flows))).close()
        caller = f"{peer[0].removeprefix('::ffff:')}:{peer[1]}"
        relay = mux.open({"port": self.port, "peer": caller, "udp": True})
        return _Flow(relay, functools.partial(self._answer, peer), functools.partial(self._forget, peer))

    def _answer(self, peer: tuple[str, int], datagram: bytes | None) -> None:
        if datagram is None:  # nobody listens: ICMP would say so, and only root may
            return
        flow = self._flows.get(peer)
        if flow is not None:
            flow.used = self._poller.now()
        try:
            self._sock.sendto(datagram, peer)
        except OSError as error:
            if error.errno not in _LOST:
                raise

    def _forget(self, peer: tuple[str, int], flow: _Flow) -> None:
        if self._flows.get(peer) is flow:
            del self._flows[peer]

    def _look(self) -> None:
        before = self._poller.now() - IDLE
        for peer, flow in list(self._flows.items()):
            if flow.used < before:
                del self._flows[peer]
                flow.close()
        self._timer = self._poller.call_later(LOOK_EVERY, self._look)


class _Flow:
    """One caller."""

    def __init__(
        self, relay: Relay, on_datagram: Callable[[bytes | None], None], on_end: Callable[[_Flow], None]
    ) -> None:
        self._relay, self._on_datagram, self._on_end = relay, on_datagram, on_end
        self._pending: list[bytes] = []
        self._stream: Datagrams | None = None
        self.used = 0.0
        relay.on_accepted = self._accepted
        relay.on_finished = lambda _: on_end(self)

    def send(self, datagram: bytes, now: float) -> None:
        """Pass one on, or lose it."""
        self.used = now
        if self._stream is not None:
            self._stream.send(datagram)
        elif len(self._pending) < MOST_PENDING:
            self._pending.append(datagram)

    def close(self) -> None:
        """Nobody needs it any more."""
        self._relay.on_finished = None
        if self._stream is not None:
            self._stream.close()
        else:
            self._relay.reset(Reason.CANCELLED)

    def _accepted(self, relay: Relay) -> None:
        self._stream = Datagrams(relay, self._on_datagram, lambda: self._on_end(self))
        pending, self._pending = self._pending, []
        for datagram in pending:
            self._stream.send(datagram)
