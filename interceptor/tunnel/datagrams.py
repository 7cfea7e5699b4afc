"""Datagrams over a stream: each with its length before it. `agent.datagrams` and `sandbox.datagrams` hold the two ends.

A stream of a tunnel ends in a socket, so each end is one of a socket pair whose other is the relay's. What does not fit
is lost, as on any network: a slow reader never holds more than `MOST_WAITING` here.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from interceptor.tunnel.poller import Poller

MOST_WAITING = 256 * 1024
REFUSED = 0xFFFF  # in place of a length: the far end's ICMP said that nothing listens there; no datagram is that long
_LENGTH = struct.Struct("!H")
_READ = 64 * 1024


class Datagrams:
    """One end. `on_datagram(None)` says REFUSED."""

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        on_datagram: Callable[[bytes | None], None],
        on_end: Callable[[], None],
    ) -> None:
        self._poller, self._sock = poller, sock
        self._on_datagram, self._on_end = on_datagram, on_end
        self._read = b""
        self._waiting = b""
        self.closed = False
        poller.readable(sock.fileno(), self._readable)

    def send(self, datagram: bytes) -> None:
        """Send one, or lose it."""
        if len(self._waiting) + len(datagram) <= MOST_WAITING:
            self._write(_LENGTH.pack(len(datagram)) + datagram)

    def refuse(self) -> None:
        """Say that nothing listens there."""
        self._write(_LENGTH.pack(REFUSED))

    def close(self) -> None:
        """End it; nobody is told."""
        if not self.closed:
            self.closed = True
            self._poller.readable(self._sock.fileno(), None)
            self._poller.writable(self._sock.fileno(), None)
            self._sock.close()

    def _write(self, data: bytes) -> None:
        if self.closed:
            return
        waited = bool(self._waiting)
        self._waiting += data
        if not waited:
            self._writable()

    def _writable(self) -> None:
        try:
            self._waiting = self._waiting[self._sock.send(self._waiting) :]
        except (BlockingIOError, InterruptedError):
            pass  # all of it waits
        except OSError:
            self._end()
            return
        self._poller.writable(self._sock.fileno(), self._writable if self._waiting else None)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._read += data
        start = 0
        while len(self._read) - start >= _LENGTH.size and not self.closed:
            (length,) = _LENGTH.unpack_from(self._read, start)
            begin = start + _LENGTH.size
            if length == REFUSED:
                self._on_datagram(None)
                start = begin
                continue
            if len(self._read) - begin < length:
                break
            self._on_datagram(self._read[begin : begin + length])
            start = begin + length
        self._read = self._read[start:]

    def _end(self) -> None:
        if not self.closed:
            self.close()
            self._on_end()
