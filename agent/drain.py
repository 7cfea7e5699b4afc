"""The pod's end without a cut request: `__main__` begins it at SIGTERM.

Readiness goes at once, but kube-proxy and the mesh learn of it a moment later: until then the ports stay open, longer where
callers still come because a busy node's proxy is late. Then they close, connections on which nothing moves are half-closed,
the others may finish, and so may a guard that takes the session back: it may be the last of its agents.

The pod's grace period bounds all of it: at its end the kubelet kills, and whoever waits would not even learn why. So a short
one shortens each step, and just before its end those who wait are refused, the rest is cut, and it is said. It is the
template's: of a shorter one that a deletion names, nobody tells the pod.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.guard import Guard
from agent.inbound import Inbound
from agent.inward import Inward
from agent.journal import say
from agent.listener import Listener
from agent.tunnels import Tunnels
from interceptor.tunnel.epoll import EpollPoller
from interceptor.tunnel.relay import Relay

STILL_OPEN = 2.0  # seconds in which callers may still come
QUIET = 1.0  # seconds without a new one, or they still do
MOST_OPEN = 8.0  # then those who come are somebody's who will never learn
FINISH = 2.0  # seconds left for who came last, or half of the grace period
LAST_WORDS = 0.5  # seconds before the kill, or a quarter of the grace period
IDLE = 1.0  # a connection without a byte for so long is asked to end; an eighth of the grace period at most


class Drain:
    """From SIGTERM to the end of the loop."""

    def __init__(
        self,
        poller: EpollPoller,
        inbound: Inbound,
        tunnels: Tunnels,
        guard: Guard,
        listeners: Sequence[Listener | Inward],
        grace: float,
    ) -> None:
        self._poller, self._inbound, self._tunnels, self._listeners = poller, inbound, tunnels, listeners
        self._guard, self._grace = guard, grace
        self._moved: dict[Relay, int] = {}
        self._close_by = self._end_by = 0.0
        self.begun = False

    def begin(self) -> None:
        """SIGTERM; a second one ends at once."""
        if self.begun:
            self._poller.stop()
            return
        self.begun = True
        say("the pod ends: draining")
        self._tunnels.tell({"event": "draining"})
        now, most_open = self._poller.now(), min(MOST_OPEN, max(self._grace - FINISH, self._grace / 2))
        self._close_by, self._end_by = now + most_open, now + self._grace - self._last_words
        self._poller.call_later(min(STILL_OPEN, most_open), self._close)

    @property
    def _last_words(self) -> float:
        return min(LAST_WORDS, self._grace / 4)

    def _close(self) -> None:
        """As soon as nobody comes any more."""
        now = self._poller.now()
        quiet_at = min(self._inbound.arrived_at + QUIET, self._close_by)
        if now < quiet_at:
            self._poller.call_later(quiet_at - now, self._close)
            return
        for listener in self._listeners:
            listener.close()
        self._check()

    def _check(self) -> None:
        left = self._end_by - self._poller.now()
        if self._guard.busy or (self._inbound.busy and left > 0):
            self._moved = self._inbound.end_idle(self._moved)
            pause = min(IDLE, self._grace / 8)
            self._poller.call_later(min(pause, left) if left > 0 else pause, self._check)
        elif self._inbound.busy:
            self._give_up()
        else:
            self._tunnels.close(self._poller.stop)

    def _give_up(self) -> None:
        """The refusals and the client's goodbye are written by the next passes of the loop."""
        number, over = self._inbound.busy, f"the grace period of {self._grace:g} s is over"
        say(f"{over}: {number} of its connections {'is' if number == 1 else 'are'} cut")
        self._inbound.give_up(f"the pod ends, and {over}")
        self._tunnels.close(lambda: None)
        self._poller.call_later(self._last_words / 2, self._poller.stop)
