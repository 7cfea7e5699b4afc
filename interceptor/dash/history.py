"""The last minutes of each route, point by point, for the page's charts; `watching` adds what was counted. Pure."""

from __future__ import annotations

from collections import deque

from interceptor.mesh.traffic.counts import Counts, Key, quantile

MOST_POINTS = 150

Point = tuple[float, float, float | None]
"""Requests a second, failures a second, the 95th percentile of latency in milliseconds."""


class History:
    """Made from sums that only grow; where routes became one, the first point of the new one is left out."""

    def __init__(self) -> None:
        self.points: dict[Key, deque[Point]] = {}
        self._before: dict[Key, Counts] = {}
        self._at: float | None = None

    def add(self, now: float, totals: dict[Key, Counts]) -> None:
        """What was counted until `now`, in seconds of any clock."""
        seconds = 0.0 if self._at is None else now - self._at
        if seconds > 0:
            for key, counts in totals.items():
                found = self.points.get(key)
                if found is None:
                    found = self.points[key] = deque(maxlen=MOST_POINTS)
                if (point := _point(counts, self._before.get(key), seconds, known=bool(found))) is not None:
                    found.append(point)
        for gone in self.points.keys() - totals.keys():
            del self.points[gone]
        self._before, self._at = totals, now


def _point(counts: Counts, before: Counts | None, seconds: float, *, known: bool) -> Point | None:
    if before is None:
        if known:
            return None
        before = Counts()  # a route that nobody had asked for
    total = counts.success + counts.failure - before.success - before.failure
    failures = counts.failure - before.failure
    if total < 0 or failures < 0:
        return None
    latencies = {
        bucket: count - before.latencies.get(bucket, 0)
        for bucket, count in counts.latencies.items()
        if count > before.latencies.get(bucket, 0)
    }
    slow = quantile(latencies, 0.95)
    return round(total / seconds, 2), round(failures / seconds, 2), None if slow is None else round(slow * 1000, 3)
