"""The pod's end without a cut request: `__main__` begins it at SIGTERM.

Readiness goes at once, but kube-proxy and the mesh learn of it a moment later: until then the ports stay open, longer where
callers still come because a busy node's proxy is late. Then they close, connections on which nothing moves are half-closed,
the others may finish, and so may a guard that takes the session back: it may be the last of its agents. The kubelet's grace
period bounds all.
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
IDLE = 1.0  # a connection without a byte for so long is asked to end


class Drain:
    """From SIGTERM to the end of the loop."""

    def __init__(
        self,
        poller: EpollPoller,
        inbound: Inbound,
        tunnels: Tunnels,
        guard: Guard,
        listeners: Sequence[Listener | Inward],
    ) -> None:
        self._poller, self._inbound, self._tunnels, self._listeners = poller, inbound, tunnels, listeners
        self._guard = guard
        self._moved: dict[Relay, int] = {}
        self._close_by = 0.0
        self.begun = False

    def begin(self) -> None:
        """SIGTERM; a second one ends at once."""
        if self.begun:
            self._poller.stop()
            return
        self.begun = True
        say("the pod ends: draining")
        self._tunnels.tell({"event": "draining"})
        self._close_by = self._poller.now() + MOST_OPEN
        self._poller.call_later(STILL_OPEN, self._close)

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
        if not self._inbound.busy and not self._guard.busy:
            self._tunnels.close(self._poller.stop)
            return
        self._moved = self._inbound.end_idle(self._moved)
        self._poller.call_later(IDLE, self._check)
