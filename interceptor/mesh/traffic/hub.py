"""Where everything seen in a session comes together: the relays' observers feed it, the control socket reads it.

Counting is always on, so that the figures from before a look are there; records are made only while somebody taps. An
exchange under way costs its object and an entry here; an idle connection costs one `Observed` with its `Watch`.

Small pieces are not read when they pass but a moment later, many in a row: that is out of the way of the bytes, and costs
half as much, for the code that reads them is in the processor's cache then. Their times are those when they passed.
When many have come together, they are read at the end of the loop's pass: what it relays has left by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from interceptor.http.exchange import Exchange
from interceptor.http.watch import Watch
from interceptor.mesh.traffic.counts import Traffic
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.record import ENDED, INBOUND, OPEN, OUTBOUND, Record, record_of

SMALL = 2048  # bytes of a piece that is worth putting aside
MANY_ASIDE = 128  # pieces: reading them takes less than a millisecond
MOST_ASIDE = 512  # pieces, and so 1 MB; in one pass of the loop
ASIDE = 0.02  # seconds that a piece may wait, too short to be noticed
LONG = 2.0  # seconds after which a request without an end is shown as open


CallLater = Callable[[float, Callable[[], None]], object]


class Taker(Protocol):
    """Where a tap's records go."""

    def __call__(self, record: Record, /) -> bool:
        """Take one; False: there was no room, it is lost."""


class Tap:
    """Somebody who wants to see requests."""

    def __init__(self, wanted: Filter, take: Taker, *, secrets: bool = False, bodies: int = 0) -> None:
        self.wanted = wanted
        self.secrets = secrets
        self.bodies = bodies
        self.seen = 0
        self.dropped = 0
        self.opened: set[Exchange] = set()  # shown while they were under way
        self._take = take

    def show(self, exchange: Exchange, where: Observed, number: int, wall: float, stage: str) -> None:
        """Pass one on, or count it as dropped."""
        self.seen += 1
        record = record_of(exchange, where, number, wall, stage=stage, secrets=self.secrets)
        record["dropped"] = self.dropped
        if not self._take(record):
            self.dropped += 1


class Hub:
    """All that one session has seen."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        call_later: CallLater | None = None,
    ) -> None:
        """`call_later` is a loop's; without one nothing is put aside."""
        self._call_later = call_later
        self._small = SMALL if call_later is not None else -1
        self._aside: list[tuple[Callable[..., None], bytes | None, float]] = []
        self._timed = False  # what is aside will be read in a while
        self.clock = clock
        self.began = clock()
        self.wall = wall() - self.began
        self.traffic = Traffic()
        self.taps: list[Tap] = []
        self.under_way: dict[Exchange, Observed] = {}
        self.connections = 0
        self.opaque: dict[str, int] = {}  # connections that could not be read, by why
        self._number = 0

    def watcher(self, pod: str) -> PodWatcher:
        """Who watches the tunnel to a pod."""
        return PodWatcher(self, pod)

    def passed(self, read: Callable[[memoryview | bytes, float], None], data: memoryview) -> None:
        """A piece of a connection has passed: have it read, now or soon."""
        aside = self._aside
        if len(data) > self._small:
            if aside:
                self.catch_up()
            read(data, self.clock())
            return
        aside.append((read, data.tobytes(), self.clock()))
        count = len(aside)
        if count == 1 or count >= MANY_ASIDE:
            self._plan(count)

    def _plan(self, count: int) -> None:
        """See that what is aside is read."""
        assert self._call_later is not None
        if count >= MOST_ASIDE:
            self.catch_up()
        elif count == MANY_ASIDE:
            self._call_later(0, self.catch_up)
        elif count == 1 and not self._timed:
            self._timed = True
            self._call_later(ASIDE, self._time_over)

    def _time_over(self) -> None:
        self._timed = False
        self.catch_up()

    def over(self, end: Callable[[float], None]) -> None:
        """A side of a connection, or all of it, has ended."""
        if self._aside:
            self._aside.append((end, None, self.clock()))
        else:
            end(self.clock())

    def catch_up(self) -> None:
        """Read what was put aside."""
        aside, self._aside = self._aside, []
        for read, data, now in aside:
            if data is None:
                read(now)
            else:
                read(data, now)

    def keep_bodies(self, exchange: Exchange) -> None:
        """Ask for as much of its bodies as any tap wants."""
        exchange.keep = max(tap.bodies for tap in self.taps)

    def show_ended(self, exchange: Exchange, where: Observed) -> None:
        """Tell the taps of an exchange that is over."""
        self._number += 1
        for tap in self.taps:
            opened = exchange in tap.opened
            tap.opened.discard(exchange)
            wanted = tap.wanted
            if wanted.direction not in ("", where.direction) or not wanted.ended(exchange):
                continue
            if opened or wanted.begun(exchange):
                tap.show(exchange, where, self._number, self.wall, ENDED)

    def show_open(self, tap: Tap) -> None:
        """Tell a tap what is under way for long: an answer that doesn't come is often what one looks for."""
        self.catch_up()
        if not tap.wanted.wants_open:
            return
        oldest = self.clock() - LONG
        for exchange, where in self.under_way.items():
            if exchange.began > oldest:
                break  # they stand in the order they began
            if (
                exchange not in tap.opened
                and tap.wanted.direction in ("", where.direction)
                and tap.wanted.begun(exchange)
            ):
                tap.opened.add(exchange)
                tap.show(exchange, where, 0, self.wall, OPEN)

    def became_opaque(self, why: str) -> None:
        """A connection can't be read."""
        self.opaque[why] = self.opaque.get(why, 0) + 1


class PodWatcher:
    """Watches the streams of one pod's tunnel: see `tunnel.observer.Watcher`."""

    def __init__(self, hub: Hub, pod: str) -> None:
        self._hub = hub
        self._pod = pod

    def inbound(self, target: Mapping[str, Any]) -> Observed | None:
        """A caller's connection; our own probes are none, nor are datagrams."""
        if target.get("probe") or target.get("udp"):
            return None
        return Observed(self._hub, INBOUND, self._pod, str(target.get("peer", "")), int(target.get("port", 0)))

    def outbound(self, target: Mapping[str, Any]) -> Observed | None:
        """A connection that the local process makes; files and datagrams are none."""
        if target.get("udp") or not ("host" in target and "port" in target):
            return None
        return Observed(self._hub, OUTBOUND, self._pod, str(target["host"]), int(target["port"]))


class Observed:
    """One relayed connection: `tunnel.relay` tells it what passes (see its Observer), it tells the hub what that means."""

    __slots__ = ("_hub", "_read_from", "_read_to", "_watch", "direction", "peer", "pod", "port")

    def __init__(self, hub: Hub, direction: str, pod: str, peer: str, port: int) -> None:
        self._hub = hub
        self.direction, self.pod, self.peer, self.port = direction, pod, peer, port
        self._watch = watch = Watch(self)
        reads = (watch.responded, watch.requested) if direction == INBOUND else (watch.requested, watch.responded)
        self._read_from, self._read_to = reads
        hub.connections += 1

    def from_socket(self, data: memoryview) -> None:
        """Bytes that the local process sent."""
        self._hub.passed(self._read_from, data)

    def to_socket(self, data: memoryview) -> None:
        """Bytes that the pod's side sent."""
        self._hub.passed(self._read_to, data)

    def socket_ended(self) -> None:
        """The local process sends no more."""
        watch = self._watch
        self._hub.over(watch.response_side_ended if self.direction == INBOUND else watch.request_side_ended)

    def peer_ended(self) -> None:
        """The pod's side sends no more."""
        watch = self._watch
        self._hub.over(watch.request_side_ended if self.direction == INBOUND else watch.response_side_ended)

    def finished(self) -> None:
        """The connection is over."""
        self._hub.connections -= 1
        self._hub.over(self._watch.closed)

    def missed(self) -> None:
        """Some of its bytes were not seen; nothing more is told of it."""
        self._hub.connections -= 1
        self._hub.over(self._watch.missed)

    # --- for the watch -------------------------------------------------------------------------------------------

    def begun(self, exchange: Exchange) -> None:
        """See `http.exchange.Listener`."""
        hub = self._hub
        hub.under_way[exchange] = self
        if hub.taps:
            hub.keep_bodies(exchange)

    def answered(self, exchange: Exchange) -> None:
        """See `http.exchange.Listener`."""

    def ended(self, exchange: Exchange) -> None:
        """See `http.exchange.Listener`."""
        hub = self._hub
        del hub.under_way[exchange]
        hub.traffic.add(exchange, self.direction, exchange.ended or 0.0)
        if hub.taps:
            hub.show_ended(exchange, self)

    def opaque(self, why: str) -> None:
        """See `http.exchange.Listener`."""
        self._hub.became_opaque(why)
