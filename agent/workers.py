"""Blocking calls (name resolution, the API) off the loop: `outbound` and `guard` hand them in, results come back on it."""

from __future__ import annotations

import queue
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from interceptor.tunnel.poller import Poller

Job = Callable[[], Any]
Done = Callable[[Any, "Exception | None"], None]

MOST_THREADS = 8
MOST_WAITING = 1000


class Workers:
    """A few daemon threads, started when first needed."""

    def __init__(self, poller: Poller) -> None:
        self._jobs: queue.SimpleQueue[tuple[Job, Done]] = queue.SimpleQueue()
        self._results: deque[tuple[Done, Any, Exception | None]] = deque()
        self._threads = 0
        self._busy = 0
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        poller.readable(self._ours.fileno(), self._collect)

    def run(self, job: Job, done: Done) -> None:
        """Call `job` on a thread, then `done(result, error)` on the loop."""
        if self._busy >= MOST_WAITING:
            done(None, OSError("too many look-ups are waiting"))
            return
        self._busy += 1
        if self._busy > self._threads and self._threads < MOST_THREADS:
            self._threads += 1
            threading.Thread(target=self._work, name=f"worker-{self._threads}", daemon=True).start()
        self._jobs.put((job, done))

    def _work(self) -> None:
        while True:
            job, done = self._jobs.get()
            try:
                self._results.append((done, job(), None))
            except Exception as error:
                self._results.append((done, None, error))
            self._theirs.send(b"!")

    def _collect(self) -> None:
        self._ours.recv(4096)
        while self._results:
            done, result, error = self._results.popleft()
            self._busy -= 1
            done(result, error)
