"""Connects a TCP socket without blocking, address after address: the agent's outbound, the client's local side."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence

from interceptor.tunnel.poller import Poller, Timer
from interceptor.wire.reasons import Reason

Address = tuple[int, tuple[str, int]]
"""Address family, then (host number, port)."""

Make = Callable[[int, int], socket.socket]
"""Makes a socket of an address family and a kind; raises OSError."""

Done = Callable[["socket.socket | None", "OSError | None"], None]

_REASONS = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ENETUNREACH: Reason.NETWORK,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.EADDRNOTAVAIL: Reason.UNREACHABLE,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    errno.EACCES: Reason.DENIED,
    errno.EPERM: Reason.DENIED,
}


def reason_of(error: OSError) -> Reason:
    """The wire's word for a failed connect."""
    return _REASONS.get(error.errno or 0, Reason.BROKEN)


class Dial:
    """One attempt over several addresses; calls `done` once with a connected non-blocking socket or the last error."""

    def __init__(
        self, poller: Poller, addresses: Sequence[Address], seconds: float, done: Done, make: Make = socket.socket
    ) -> None:
        self._poller = poller
        self._left = list(addresses)
        self._seconds = seconds
        self._done = done
        self._make = make
        self._sock: socket.socket | None = None
        self._timer: Timer | None = None
        self._error = OSError(errno.EADDRNOTAVAIL, "no address")

    def start(self) -> None:
        """Begin; `done` may be called before this returns."""
        while self._left:
            family, address = self._left.pop(0)
            try:
                sock = self._make(family, socket.SOCK_STREAM)
            except OSError as error:  # out of descriptors, or a family that the system lacks
                self._error = error
                continue
            sock.setblocking(False)
            try:
                code = sock.connect_ex(address)
                if code == errno.EINPROGRESS:  # over loopback the answer is there by now: no wait, no timer
                    code = sock.connect_ex(address)
            except OSError as error:  # an address that does not parse
                self._error = error
                sock.close()
                continue
            if code in (0, errno.EISCONN):
                self._finish(sock)
                return
            if code in (errno.EINPROGRESS, errno.EALREADY):
                self._sock = sock
                self._poller.writable(sock.fileno(), self._writable)
                self._timer = self._poller.call_later(self._seconds, self._late)
                return
            self._error = OSError(code, os.strerror(code))
            sock.close()
        self._done(None, self._error)

    def cancel(self) -> None:
        """Give up; `done` is not called any more."""
        self._left.clear()
        self._done = _nobody
        self._let_go(close=True)

    def _writable(self) -> None:
        assert self._sock is not None
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(OSError(code, os.strerror(code)))
        else:
            self._finish(self._let_go())

    def _late(self) -> None:
        self._failed(OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

    def _failed(self, error: OSError) -> None:
        self._error = error
        self._let_go(close=True)
        self.start()

    def _finish(self, sock: socket.socket | None) -> None:
        assert sock is not None
        with contextlib.suppress(OSError):  # macOS: it was reset already; reading will say so
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._done(sock, None)

    def _let_go(self, *, close: bool = False) -> socket.socket | None:
        sock, self._sock = self._sock, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if sock is not None:
            self._poller.writable(sock.fileno(), None)
            if close:
                sock.close()
        return sock


def _nobody(_: socket.socket | None, __: OSError | None) -> None:
    """The `done` of a cancelled dial."""
