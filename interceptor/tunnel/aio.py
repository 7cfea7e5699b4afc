"""The asyncio poller: the client's `tunnel` classes run on its event loop (asyncio's own or uvloop).

It has an epoll set of its own, which is all that asyncio watches: a pass over a hundred ready sockets is one callback of
asyncio's instead of a hundred, and what is asked for meanwhile (`call_soon`: a flush) follows in the same pass.

asyncio logs an exception from a callback and goes on, which would leave a tunnel that neither works nor ends. So whoever
owns the callbacks is told (`crashed`), and then the loop's exception handler gets it as ever.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from interceptor.tunnel.poller import Timer
from interceptor.tunnel.readiness import Callback, Readiness


class AsyncioPoller:
    """`Poller` inside a running asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, crashed: Callable[[Exception], None] | None = None) -> None:
        self._loop = loop
        self._crashed = crashed
        self._ready = Readiness()
        self._soon: deque[Callback] = deque()
        self._serving = False
        self._joined = False  # whether asyncio watches our set: only while there is something in it

    def readable(self, fd: int, callback: Callback | None) -> None:
        """See Poller."""
        self._ready.watch(fd, 0, callback)
        self._join()

    def writable(self, fd: int, callback: Callback | None) -> None:
        """See Poller."""
        self._ready.watch(fd, 1, callback)
        self._join()

    def call_soon(self, callback: Callback) -> None:
        """See Poller."""
        if self._serving:
            self._soon.append(callback)
        else:
            self._loop.call_soon(self._run, callback)

    def call_later(self, seconds: float, callback: Callback) -> Timer:
        """See Poller."""
        return self._loop.call_later(seconds, self._run, callback)

    now = staticmethod(time.monotonic)  # see Poller. Not `loop.time()`: uvloop's steps are longer than a round trip

    def _join(self) -> None:
        wanted = bool(self._ready.watched)
        if wanted is not self._joined:
            self._joined = wanted
            if wanted:
                self._loop.add_reader(self._ready.fileno(), self._run, self._serve)
            else:
                self._loop.remove_reader(self._ready.fileno())
                self._ready.close()  # now, and not when the collector finds that the tunnel is over

    def _serve(self) -> None:
        self._serving = True
        try:
            self._ready.serve(0)
            for _ in range(len(self._soon)):
                self._soon.popleft()()
        finally:
            self._serving = False
            while self._soon:  # asked for by one of them, or left by one that failed
                self._loop.call_soon(self._run, self._soon.popleft())

    def _run(self, callback: Callback) -> None:
        try:
            callback()
        except Exception as error:
            if self._crashed is not None:
                self._crashed(error)
            raise
