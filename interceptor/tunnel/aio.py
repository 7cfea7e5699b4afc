"""The asyncio poller: the client's `tunnel` classes run on its event loop (asyncio's own or uvloop).

asyncio logs an exception from a callback and goes on, which would leave a tunnel that neither works nor ends. So whoever
owns the callbacks is told (`crashed`), and then the loop's exception handler gets it as ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from interceptor.tunnel.poller import Timer


class AsyncioPoller:
    """`Poller` over a running loop's add_reader and add_writer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, crashed: Callable[[Exception], None] | None = None) -> None:
        self._loop = loop
        self._crashed = crashed
        self._reading: set[int] = set()
        self._writing: set[int] = set()

    def readable(self, fd: int, callback: Callable[[], None] | None) -> None:
        """See Poller."""
        if callback is not None:
            self._loop.add_reader(fd, self._run, callback)
            self._reading.add(fd)
        elif fd in self._reading:
            self._reading.discard(fd)
            self._loop.remove_reader(fd)

    def writable(self, fd: int, callback: Callable[[], None] | None) -> None:
        """See Poller."""
        if callback is not None:
            self._loop.add_writer(fd, self._run, callback)
            self._writing.add(fd)
        elif fd in self._writing:
            self._writing.discard(fd)
            self._loop.remove_writer(fd)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See Poller."""
        self._loop.call_soon(self._run, callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """See Poller."""
        return self._loop.call_later(seconds, self._run, callback)

    def now(self) -> float:
        """See Poller. Not `loop.time()`: uvloop's has steps of a millisecond, more than a round trip."""
        return time.monotonic()

    def _run(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            if self._crashed is not None:
                self._crashed(error)
            raise
