"""The pod's event loop: `agent` runs on it. Linux only, standard library, no asyncio (20 MB and 60 ms less).

One pass: poll, serve what is ready, then the calls due by time, then the calls asked for meanwhile. Frames queued while
serving are flushed by such a call, so one pass batches them for free.
"""

from __future__ import annotations

import heapq
import time
from collections import deque

from interceptor.tunnel.readiness import Callback, Readiness

MOST_CANCELLED = 100


class EpollTimer:
    """A `Timer`; ordered by its time, then by its number."""

    __slots__ = ("_poller", "at", "callback", "number")

    def __init__(self, poller: EpollPoller, at: float, number: int, callback: Callback) -> None:
        self._poller = poller
        self.at, self.number = at, number
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """See Timer."""
        if self.callback is not None:
            self.callback = None
            self._poller.timer_cancelled()

    def __lt__(self, other: EpollTimer) -> bool:
        return (self.at, self.number) < (other.at, other.number)


class EpollPoller:
    """`Poller` with the loop that drives it."""

    def __init__(self) -> None:
        self._ready = Readiness()
        self._soon: deque[Callback] = deque()
        self._timers: list[EpollTimer] = []
        self._count = 0
        self._cancelled = 0  # timers in the heap that will not be called
        self._stopped = False

    def readable(self, fd: int, callback: Callback | None) -> None:
        """See Poller."""
        self._ready.watch(fd, 0, callback)

    def writable(self, fd: int, callback: Callback | None) -> None:
        """See Poller."""
        self._ready.watch(fd, 1, callback)

    def call_soon(self, callback: Callback) -> None:
        """See Poller."""
        self._soon.append(callback)

    def call_later(self, seconds: float, callback: Callback) -> EpollTimer:
        """See Poller."""
        self._count += 1
        timer = EpollTimer(self, self.now() + seconds, self._count, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def timer_cancelled(self) -> None:
        """Thousands of connections a second each set timers and cancel them: they may not pile up for ten seconds."""
        self._cancelled += 1
        if self._cancelled > MOST_CANCELLED and self._cancelled * 2 > len(self._timers):
            self._timers = [timer for timer in self._timers if timer.callback is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    now = staticmethod(time.monotonic)  # see Poller

    def stop(self) -> None:
        """Let `run` return after this pass."""
        self._stopped = True

    def close(self) -> None:
        """Give the epoll descriptor back."""
        self._ready.close()

    def run(self) -> None:
        """Serve until `stop`. An exception from a callback ends the loop: nothing is swallowed."""
        self._stopped = False
        while not self._stopped:
            self.turn()

    def turn(self) -> None:
        """One pass."""
        soon = self._soon
        self._ready.serve(0 if soon else self._patience())
        while self._timers and self._timers[0].at <= self.now():
            timer = heapq.heappop(self._timers)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
            else:
                self._cancelled -= 1
        for _ in range(len(soon)):
            soon.popleft()()

    def _patience(self) -> float:
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
            self._cancelled -= 1
        return max(0.0, self._timers[0].at - self.now()) if self._timers else -1
