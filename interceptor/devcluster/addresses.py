"""Addresses of one dev cluster: a /16 of loopback for itself alone; made by `cluster`, used for API, pods and Services.

All of 127/8 is the loopback interface on Linux, so every address here can be bound and called without any set-up.
Several dev clusters live side by side: the one that has bound the API server's address of a block owns the block.
"""

from __future__ import annotations

import random
import socket

from interceptor.errors import InterceptorError

API_PORT = 6443
_BLOCKS = range(32, 127)


class AddressPool:
    """Addresses `127.<block>.<first>.1` to `127.<block>.<last>.254`, handed out in turn, reused only after all others."""

    def __init__(self, block: int, first: int, last: int) -> None:
        self._block = block
        self._all = [(third, fourth) for third in range(first, last + 1) for fourth in range(1, 255)]
        self._next = 0
        self._used: set[str] = set()

    def take(self, wanted: str | None = None) -> str:
        """Return a free address, or the wanted one."""
        if wanted:
            self._used.add(wanted)
            return wanted
        for _ in self._all:
            third, fourth = self._all[self._next]
            self._next = (self._next + 1) % len(self._all)
            address = f"127.{self._block}.{third}.{fourth}"
            if address not in self._used:
                self._used.add(address)
                return address
        raise InterceptorError("the dev cluster has no address left", hint="delete some pods or Services")

    def give_back(self, address: str) -> None:
        """Return an address."""
        self._used.discard(address)


class Block:
    """The /16 a dev cluster has to itself, held by the API server's listening socket."""

    def __init__(self) -> None:
        for number in random.sample(_BLOCKS, len(_BLOCKS)):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((f"127.{number}.0.1", API_PORT))
                listener.listen(128)
            except OSError:
                listener.close()
                continue
            break
        else:
            raise InterceptorError(
                "no free block of loopback addresses for a dev cluster",
                hint="end other dev clusters (python -m interceptor.devcluster), or use a Linux machine",
            )
        self.listener = listener
        self.api = f"127.{number}.0.1"
        self.pods = AddressPool(number, 1, 126)
        self.services = AddressPool(number, 128, 254)
