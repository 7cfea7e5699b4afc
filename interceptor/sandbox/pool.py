"""Sockets made inside a sandbox, kept in stock: by them the client connects to what COMMAND listens on.

`tunnel.dial` takes one for each connection. The stock is filled ahead, so that taking one costs no more than making one.
"""

from __future__ import annotations

import errno
import socket
from collections import deque

from interceptor.sandbox.child import POOL_SIZE

_WISHES = {int(socket.AF_INET): b"4", int(socket.AF_INET6): b"6"}
_FAMILIES = {b"4": int(socket.AF_INET), b"6": int(socket.AF_INET6)}
_PATIENCE = 2.0  # seconds; the answer comes from a process that does nothing else, in some 50 microseconds


class Pool:
    """The stock of one sandbox."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.settimeout(_PATIENCE)
        self._stock: dict[int, deque[socket.socket]] = {family: deque() for family in _WISHES}
        self._wished = dict.fromkeys(_WISHES, 0)

    def take(self, family: int, kind: int) -> socket.socket:
        """Make a socket of the sandbox, as `socket.socket(family, kind)` makes one of this machine. Raises OSError."""
        assert kind == socket.SOCK_STREAM
        stock = self._stock[family]
        try:
            if len(stock) < POOL_SIZE // 2 and not self._wished[family]:
                self._wish(family)
            while not stock:
                self._collect()
        except OSError as error:
            raise OSError(errno.ECONNREFUSED, "the local process has ended") from error
        return stock.popleft()

    def close(self) -> None:
        """Give back what is left."""
        for stock in self._stock.values():
            while stock:
                stock.popleft().close()

    def _wish(self, family: int) -> None:
        self._wished[family] += 1
        self._sock.send(_WISHES[family])

    def _collect(self) -> None:
        said, descriptors, _, _ = socket.recv_fds(self._sock, 1, POOL_SIZE)
        if not said:
            raise BrokenPipeError
        family = _FAMILIES[said]
        self._wished[family] -= 1
        self._stock[family].extend(socket.socket(fileno=number) for number in descriptors)
