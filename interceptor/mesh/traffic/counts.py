"""Adds exchanges up by route and by time, in bounded memory: what `routes` and `stat` show of an intercepted workload."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import ceil, log
from typing import Any

from interceptor.http.exchange import Exchange
from interceptor.mesh.named import Names
from interceptor.mesh.traffic.record import failed
from interceptor.mesh.traffic.templates import Templates

SLICE = 5.0  # seconds
MOST_SLICES = 120  # ten minutes
MOST_ROUTES = 200
MOST_HOT = 2048
OTHERS = "(others)"
GROWTH = 1.04  # of latency buckets: a quantile is right within 2 %
_LOG = log(GROWTH)
_SMALLEST = 1e-5  # seconds


class Counts:
    """Of one route in one span of time."""

    __slots__ = ("failure", "latencies", "request_bytes", "response_bytes", "seconds", "statuses", "success")

    def __init__(self) -> None:
        self.success = 0
        self.failure = 0
        self.request_bytes = 0
        self.response_bytes = 0
        self.statuses: dict[int | str, int] = {}  # an HTTP status (0: none), or gRPC's in words
        self.latencies: dict[int, int] = {}  # by bucket
        self.seconds = 0.0  # the sum of them

    def add(self, exchange: Exchange) -> None:
        """Count one more."""
        status: int | str = exchange.status
        if 0 < exchange.status < 500 and not exchange.grpc and not exchange.cancelled:
            self.success += 1
        else:
            if failed(exchange):
                self.failure += 1
            else:
                self.success += 1
            if exchange.grpc_status is not None:
                status = f"grpc {exchange.grpc_status}"
        try:
            self.statuses[status] += 1
        except KeyError:
            self.statuses[status] = 1
        self.request_bytes += exchange.request_size
        self.response_bytes += exchange.response_size
        answered = exchange.answered
        if answered is not None:
            seconds = answered - exchange.began
            self.seconds += seconds
            bucket = int(log(seconds / _SMALLEST) / _LOG) if seconds > _SMALLEST else 0
            try:
                self.latencies[bucket] += 1
            except KeyError:
                self.latencies[bucket] = 1

    def merge(self, other: Counts) -> None:
        """Add all of another's."""
        self.success += other.success
        self.failure += other.failure
        self.request_bytes += other.request_bytes
        self.response_bytes += other.response_bytes
        self.seconds += other.seconds
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        for bucket, count in other.latencies.items():
            self.latencies[bucket] = self.latencies.get(bucket, 0) + count

    def quantile(self, share: float) -> float | None:
        """Seconds that this share of the answers took at most; None without any."""
        return quantile(self.latencies, share)

    def to_json(self) -> dict[str, Any]:
        """For the control socket."""
        return {
            "success": self.success,
            "failure": self.failure,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "statuses": {str(status or "none"): count for status, count in self.statuses.items()},
            "latencies": {str(bucket): count for bucket, count in self.latencies.items()},
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Counts:
        """The reverse."""
        counts = cls()
        counts.success, counts.failure = int(value["success"]), int(value["failure"])
        counts.request_bytes, counts.response_bytes = int(value["request_bytes"]), int(value["response_bytes"])
        counts.statuses = {str(status): int(count) for status, count in value["statuses"].items()}
        counts.latencies = {int(bucket): int(count) for bucket, count in value["latencies"].items()}
        counts.seconds = float(value.get("seconds", 0.0))
        return counts


Key = tuple[str, str, str]
"""Direction, authority (of outbound requests), route."""


class Traffic:
    """Everything a session has seen. What is recent stands in slices of time, what is older only in a sum."""

    def __init__(self) -> None:
        self._names: Names | None = None
        self._templates: dict[tuple[str, str, str], Templates] = {}
        self._routes: set[Key] = set()
        self._before: dict[Key, Counts] = {}  # all but the newest slice
        self._slices: deque[tuple[float, dict[Key, Counts]]] = deque(maxlen=MOST_SLICES)
        self._hot: dict[tuple[str, str, str, str], Counts] = {}  # of the newest slice, by what an exchange says
        self._until = float("-inf")  # when the newest slice is full

    def add(self, exchange: Exchange, direction: str, now: float) -> None:
        """Count an exchange that has ended."""
        if now >= self._until:
            self._begin_slice(now)
        asked = direction, exchange.authority, exchange.method, exchange.path
        counts = self._hot.get(asked)
        if counts is None or (self._names is not None and self._names.by_headers):
            counts = self._find(exchange, direction)
            if len(self._hot) < MOST_HOT:
                self._hot[asked] = counts
        counts.add(exchange)

    @property
    def names(self) -> Names | None:
        """Routes that somebody named, once they are read."""
        return self._names

    @names.setter
    def names(self, names: Names | None) -> None:
        self._names = names
        self._hot.clear()

    @property
    def total(self) -> dict[Key, Counts]:
        """All of the session."""
        return self._sum([self._before, *([self._slices[-1][1]] if self._slices else [])])

    def since(self, window: float | None, now: float) -> tuple[dict[Key, Counts], float]:
        """What was counted in about the last `window` seconds, and how many they were; None: all of the session."""
        if window is None:
            return self.total, 0.0
        recent = [(start, counts) for start, counts in self._slices if now - start <= window + SLICE]
        began = recent[0][0] if recent else now
        return self._sum([counts for _, counts in recent]), max(window, now - began)

    def _begin_slice(self, now: float) -> None:
        if self._slices:
            _add_to(self._before, self._slices[-1][1])
        self._slices.append((now, {}))
        self._until = now + SLICE
        self._hot.clear()

    @staticmethod
    def _sum(parts: Iterable[dict[Key, Counts]]) -> dict[Key, Counts]:
        whole: dict[Key, Counts] = {}
        for part in parts:
            _add_to(whole, part)
        return whole

    def _find(self, exchange: Exchange, direction: str) -> Counts:
        authority = "" if direction == "inbound" else exchange.authority
        named = self._names.name(exchange) if self._names is not None and direction == "inbound" else None
        key = (direction, "", named) if named else self._key(direction, authority, exchange.method, exchange.path)
        newest = self._slices[-1][1]
        found = newest.get(key)
        if found is None:
            self._routes.add(key)
            found = newest[key] = Counts()
        return found

    def _key(self, direction: str, authority: str, method: str, path: str) -> Key:
        place = direction, authority, method
        templates = self._templates.get(place)
        if templates is None:
            if len(self._templates) >= MOST_ROUTES:
                return direction, "", OTHERS
            templates = self._templates[place] = Templates(self._rename)
        key = direction, authority, f"{method} {templates.name(path)}"
        if key not in self._routes and len(self._routes) >= MOST_ROUTES:
            return direction, "", OTHERS
        return key

    def _rename(self) -> None:
        """Some routes have become one."""
        self._hot.clear()
        self._routes.clear()
        for counts in (self._before, *(counts for _, counts in self._slices)):
            for key in list(counts):
                direction, authority, route = key
                method, _, path = route.partition(" ")
                templates = self._templates.get((direction, authority, method)) if path[:1] == "/" else None
                new = (direction, authority, f"{method} {templates.name(path)}") if templates is not None else key
                if new != key:
                    old = counts.pop(key)
                    counts.setdefault(new, Counts()).merge(old)
                self._routes.add(new)


def _add_to(whole: dict[Key, Counts], part: dict[Key, Counts]) -> None:
    for key, counts in part.items():
        found = whole.get(key)
        if found is None:
            found = whole[key] = Counts()
        found.merge(counts)


def bucket_of(seconds: float) -> int:
    """The bucket that a time falls into."""
    return int(log(seconds / _SMALLEST) / _LOG) if seconds > _SMALLEST else 0


def middle_of(bucket: int) -> float:
    """Seconds that stand for all in a bucket."""
    return float(_SMALLEST * GROWTH ** (bucket + 0.5))


def quantile(buckets: dict[int, int], share: float) -> float | None:
    """By nearest rank, as if those in a bucket were spread evenly over it."""
    total = sum(buckets.values())
    if not total:
        return None
    rank, below = max(1, ceil(share * total)), 0
    for bucket in sorted(buckets):
        inside = buckets[bucket]
        if below + inside >= rank:
            break
        below += inside
    return float(_SMALLEST * GROWTH ** (bucket + (rank - below - 0.5) / inside))


def bounds_of(buckets: dict[int, int]) -> dict[float, float]:
    """The same by upper bound in milliseconds; a bucket's lower bound has its own place, so that its width is seen."""
    found: dict[float, float] = {}
    for bucket in sorted(buckets):
        found.setdefault(_SMALLEST * GROWTH**bucket * 1000, 0.0)
        found[_SMALLEST * GROWTH ** (bucket + 1) * 1000] = float(buckets[bucket])
    return found


def merged(counts: Iterable[Counts]) -> Counts:
    """All of them together."""
    whole = Counts()
    for one in counts:
        whole.merge(one)
    return whole
