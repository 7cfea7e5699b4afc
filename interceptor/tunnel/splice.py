"""Copies between two sockets of one machine, without a tunnel.

In the pod `agent.inbound` hands callers over to the cluster's own pods with it; on the developer's machine it joins the
sandbox with the machine (`sandbox.machine`, `sandbox.ports`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from interceptor.tunnel.poller import Poller
from interceptor.tunnel.relay import reset

CHUNK = 64 * 1024


class Splice:
    """Two connected non-blocking sockets, until both directions have ended; carries half-close."""

    def __init__(self, poller: Poller, one: socket.socket, two: socket.socket, ended: Callable[[], None]) -> None:
        self._poller = poller
        self._sockets = one, two
        self._ended = ended
        self._open = 2
        for source, target in ((one, two), (two, one)):
            _Way(self, poller, source, target)

    def way_ended(self) -> None:
        """One direction is done."""
        self._open -= 1
        if self._open == 0:
            self.close()

    def close(self, *, broken: bool = False) -> None:
        """End both; a reset on one side is one on the other."""
        if self._open >= 0:
            self._open = -1
            for sock in self._sockets:
                self._poller.readable(sock.fileno(), None)
                self._poller.writable(sock.fileno(), None)
                if broken:
                    reset(sock)
                else:
                    sock.close()
            self._ended()


class _Way:
    """One direction: at most one chunk is held."""

    def __init__(self, splice: Splice, poller: Poller, source: socket.socket, target: socket.socket) -> None:
        self._splice, self._poller, self._source, self._target = splice, poller, source, target
        self._held = b""
        poller.readable(source.fileno(), self._read)

    def _read(self) -> None:
        try:
            data = self._source.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._splice.close(broken=True)
            return
        if not data:
            self._poller.readable(self._source.fileno(), None)
            try:
                self._target.shutdown(socket.SHUT_WR)
            except OSError:
                self._splice.close(broken=True)
                return
            self._splice.way_ended()
            return
        self._held = data
        self._write()

    def _write(self) -> None:
        try:
            self._held = self._held[self._target.send(self._held) :]
        except (BlockingIOError, InterruptedError):
            pass  # all of it waits
        except OSError:
            self._splice.close(broken=True)
            return
        waiting = bool(self._held)
        self._poller.readable(self._source.fileno(), None if waiting else self._read)
        self._poller.writable(self._target.fileno(), self._write if waiting else None)
