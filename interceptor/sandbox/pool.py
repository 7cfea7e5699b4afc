"""Sockets made inside a sandbox, kept in stock: by them the client connects to what COMMAND listens on.

`tunnel.dial` takes one for each connection. The stock is filled ahead, so that taking one costs no more than making one.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque

from interceptor.sandbox.child import KINDS, POOL_SIZE

_WISHES = {(int(family), int(kind)): wish for wish, (family, kind) in KINDS.items()}
_PATIENCE = 2.0  # seconds; the answer comes from a process that does nothing else, in some 50 microseconds


class Pool:
    """The stock of one sandbox."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.settimeout(_PATIENCE)
        self._stock: dict[bytes, deque[socket.socket]] = {wish: deque() for wish in KINDS}
        self._wished = dict.fromkeys(KINDS, 0)

    def take(self, family: int, kind: int) -> socket.socket:
        """Make a socket of the sandbox, as `socket.socket(family, kind)` makes one of this machine. Raises OSError."""
        wish = _WISHES[family, kind]
        stock = self._stock[wish]
        try:
            if len(stock) < POOL_SIZE // 2 and not self._wished[wish]:
                self._wish(wish)
            while not stock:
                self._collect()
        except OSError as error:
            if error.errno == errno.EMFILE:
                raise
            raise OSError(errno.ECONNREFUSED, "the local process has ended") from error
        return stock.popleft()

    def close(self) -> None:
        """Give back what is left."""
        for stock in self._stock.values():
            while stock:
                stock.popleft().close()

    def _wish(self, wish: bytes) -> None:
        self._wished[wish] += 1
        self._sock.send(wish)

    def _collect(self) -> None:
        said, descriptors, _, _ = socket.recv_fds(self._sock, 1, POOL_SIZE)
        if not said:
            raise BrokenPipeError
        self._wished[said] -= 1
        if not descriptors:  # the kernel drops those for which we have no room
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self._stock[said].extend(socket.socket(fileno=number) for number in descriptors)
