"""UDP sockets at the end of streams of datagrams: in the pod for what the local process sends (`agent.outbound`), on the
developer's machine for what callers send (`local`). Each is connected, so that an ICMP error comes back to it and answers
of strangers don't.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from interceptor.tunnel.datagrams import Datagrams
from interceptor.tunnel.dial import Make
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.poller import Poller, Timer
from interceptor.tunnel.relay import Relay
from interceptor.wire.reasons import Reason

IDLE = 60.0  # seconds without a datagram either way; as long as most address translators keep a UDP flow
MOST_FLOWS = 4096
_LONGEST = 65536
_AT_ONCE = 64  # datagrams of one flow before others have their turn
_FROM_ICMP = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)


class Flows:
    """All flows of this end."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._open = 0

    def connect(
        self, mux: Mux, relay: Relay, family: int, address: tuple[str, int], make: Make = socket.socket
    ) -> None:
        """Answer a stream of datagrams by a socket that `make` gives."""
        if self._open >= MOST_FLOWS:
            mux.refuse(relay, Reason.MEMORY, f"{MOST_FLOWS} UDP flows are open")
            return
        try:
            sock = make(family, socket.SOCK_DGRAM)
        except OSError as error:
            mux.refuse(relay, Reason.BROKEN, str(error))
            return
        sock.setblocking(False)
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            mux.refuse(relay, Reason.NETWORK, f"{address[0]}: {error.strerror}")
            return
        self._open += 1
        _Flow(self._poller, mux, relay, sock, self._closed)

    def _closed(self) -> None:
        self._open -= 1


class _Flow:
    def __init__(self, poller: Poller, mux: Mux, relay: Relay, sock: socket.socket, closed: Callable[[], None]) -> None:
        self._poller, self._sock, self._closed = poller, sock, closed
        self._used = poller.now()
        self._timer: Timer = poller.call_later(IDLE, self._look)
        poller.readable(sock.fileno(), self._receive)
        mux.accept_here(relay)
        self._stream = Datagrams(relay, self._send, self._end)

    def _send(self, datagram: bytes | None) -> None:
        self._used = self._poller.now()
        if datagram is not None:
            try:
                self._sock.send(datagram)
            except OSError as error:
                self._tell(error)

    def _receive(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                datagram = self._sock.recv(_LONGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._tell(error)
                return
            self._used = self._poller.now()
            self._stream.send(datagram)

    def _tell(self, error: OSError) -> None:
        """Pass on what ICMP said; anything else is a datagram lost."""
        if error.errno in _FROM_ICMP:
            self._stream.refuse()

    def _look(self) -> None:
        left = self._used + IDLE - self._poller.now()
        if left > 0:
            self._timer = self._poller.call_later(left, self._look)
        else:
            self._stream.close()
            self._end()

    def _end(self) -> None:
        self._timer.cancel()
        self._poller.readable(self._sock.fileno(), None)
        self._sock.close()
        self._closed()
