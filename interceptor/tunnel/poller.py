"""What `link`, `mux` and `relay` need of an event loop; `aio` gives it over asyncio, `epoll` in the pod.

Six calls, so that one class set serves both: performance.md measured own epoll at 81 us and asyncio at 110 us added
latency for the same code, against 164 to 281 us through asyncio's transports and streams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that will happen once unless cancelled."""

    def cancel(self) -> None:
        """Forget it; harmless when it has happened."""


class Poller(Protocol):
    """Level-triggered readiness, and calls later. `None` as callback stops watching, also what was never watched."""

    def readable(self, fd: int, callback: Callable[[], None] | None) -> None:
        """Call whenever `fd` can be read, is at its end, or broke."""

    def writable(self, fd: int, callback: Callable[[], None] | None) -> None:
        """Call whenever `fd` can be written or broke."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call once after the descriptors that are ready now were served."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call once after `seconds`."""

    def now(self) -> float:
        """Monotonic seconds."""
