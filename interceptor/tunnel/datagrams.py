"""Datagrams over a stream: each with its length before it. `flows`, `sandbox.datagrams` and `agent.inward` hold the ends.

Each end is where a relay has its socket otherwise, so that a datagram crosses a process without another system call. What
does not fit is lost, as on any network: while the tunnel takes no more, `MOST_WAITING` bytes wait here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from interceptor.tunnel.relay import Relay
from interceptor.wire.reasons import Reason

MOST_WAITING = 256 * 1024
REFUSED = 0xFFFF  # in place of a length: the far end's ICMP said that nothing listens there; no datagram is that long
_LENGTH = struct.Struct("!H")


class Datagrams:
    """One end. `on_datagram(None)` says REFUSED; `on_end` is called once, whoever ended it."""

    def __init__(self, relay: Relay, on_datagram: Callable[[bytes | None], None], on_end: Callable[[], None]) -> None:
        self._relay = relay
        self._on_datagram, self._on_end = on_datagram, on_end
        self._read = b""  # of a datagram, the rest of which is not there yet
        self._waiting = b""
        self.closed = False
        relay.on_finished = lambda _: self._end()
        relay.serve(self)

    def send(self, datagram: bytes) -> None:
        """Send one, or lose it."""
        if len(self._waiting) + len(datagram) <= MOST_WAITING:
            self._write(_LENGTH.pack(len(datagram)) + datagram)

    def refuse(self) -> None:
        """Say that nothing listens there."""
        if len(self._waiting) <= MOST_WAITING:
            self._write(_LENGTH.pack(REFUSED))

    def close(self) -> None:
        """End it; `on_end` is not called for what we did."""
        if not self.closed:
            self.closed = True
            self._relay.reset(Reason.CANCELLED)

    # --- for the relay -----------------------------------------------------------------------------------------

    def relay_received(self, data: bytes | memoryview) -> None:
        """See RelayUser."""
        view = memoryview(self._read + data if self._read else data)
        size, start = len(view), 0
        while size - start >= _LENGTH.size and not self.closed:
            (length,) = _LENGTH.unpack_from(view, start)
            begin = start + _LENGTH.size
            if length == REFUSED:
                start = begin
                self._on_datagram(None)
                continue
            if size - begin < length:
                break
            start = begin + length
            self._on_datagram(bytes(view[begin:start]))
        self._read = bytes(view[start:])

    def relay_writable(self) -> None:
        """See RelayUser."""
        waiting, self._waiting = self._waiting, b""
        self._write(waiting)

    def _write(self, data: bytes) -> None:
        if self._waiting:
            self._waiting += data
            return
        while data and not self.closed:
            said = self._relay.say(data)
            data = data[said:]
            if not said:
                self._waiting = data
                return

    def _end(self) -> None:
        if not self.closed:
            self.closed = True
            self._on_end()
