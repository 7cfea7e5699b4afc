"""The asyncio poller: the client's `tunnel` classes run on its event loop (asyncio's own or uvloop)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from interceptor.tunnel.poller import Timer


class AsyncioPoller:
    """`Poller` over a running loop's add_reader and add_writer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reading: set[int] = set()
        self._writing: set[int] = set()

    def readable(self, fd: int, callback: Callable[[], None] | None) -> None:
        """See Poller."""
        if callback is not None:
            self._loop.add_reader(fd, callback)
            self._reading.add(fd)
        elif fd in self._reading:
            self._reading.discard(fd)
            self._loop.remove_reader(fd)

    def writable(self, fd: int, callback: Callable[[], None] | None) -> None:
        """See Poller."""
        if callback is not None:
            self._loop.add_writer(fd, callback)
            self._writing.add(fd)
        elif fd in self._writing:
            self._writing.discard(fd)
            self._loop.remove_writer(fd)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See Poller."""
        self._loop.call_soon(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """See Poller."""
        return self._loop.call_later(seconds, callback)

    def now(self) -> float:
        """See Poller."""
        return self._loop.time()
