"""Ends the agent of `interceptor run` when its client is gone: nobody else needs its pod. Started by `__main__`.

The client deletes the pod itself, and if it can't, the cluster does so soon after. Until then nothing of it shall run on.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.journal import say
from interceptor.tunnel.poller import Poller, Timer
from interceptor.wire.reasons import Reason

FIRST = 120.0  # seconds for the first tunnel to come


class Alone:
    """Told of tunnels; calls `end` after `seconds` without one."""

    def __init__(self, poller: Poller, seconds: float, end: Callable[[], None]) -> None:
        self._poller, self._seconds, self._end = poller, seconds, end
        self._timer: Timer | None = poller.call_later(FIRST, self._late)

    def tunnel(self, up: bool, reason: Reason) -> None:
        """A tunnel came or ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not up:
            self._timer = self._poller.call_later(0.0 if reason is Reason.GOODBYE else self._seconds, self._late)

    def _late(self) -> None:
        say("nobody is connected: the agent ends")
        self._end()
