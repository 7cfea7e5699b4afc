"""What grew between two scrapes of the same proxy, and quantiles of a histogram's growth; the sources of metrics use it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from interceptor.mesh.exposition import Sample

Growth = list[Sample]
_Key = tuple[str, frozenset[tuple[str, str]]]


def growth(before: Iterable[Sample] | None, after: Iterable[Sample]) -> Growth:
    """Each counter's growth. A counter that is smaller than before began anew; without `before`, all since its start.

    A series that was not there before may be new, or have been dropped while idle: both began at 0.
    """
    earlier = {_key(sample): sample.value for sample in before or ()}
    grown = []
    for sample in after:
        old = earlier.get(_key(sample), 0.0)
        grown.append(Sample(sample.name, sample.labels, sample.value - old if sample.value >= old else sample.value))
    return grown


def _key(sample: Sample) -> _Key:
    return sample.name, frozenset(sample.labels.items())


class Histogram:
    """A histogram of cumulative buckets, summed over series."""

    def __init__(self) -> None:
        self._buckets: dict[float, float] = {}

    def add(self, bound: str, value: float) -> None:
        """Add one bucket of one series; `bound` is its label `le`."""
        limit = math.inf if bound in ("+Inf", "inf") else float(bound)
        self._buckets[limit] = self._buckets.get(limit, 0.0) + value

    def quantile(self, share: float) -> float | None:
        """As Prometheus' histogram_quantile: linear within a bucket, and the last finite bound beyond it."""
        bounds = sorted(self._buckets)
        if len(bounds) < 2 or bounds[-1] != math.inf or self._buckets[math.inf] <= 0:
            return None
        wanted = share * self._buckets[math.inf]
        lower, below = 0.0, 0.0
        for bound in bounds:
            count = self._buckets[bound]
            if count >= wanted:
                if bound == math.inf:
                    return lower
                within = (wanted - below) / (count - below) if count > below else 1.0
                return lower + (bound - lower) * within
            lower, below = bound, count
        return lower

    def counts(self, scale: float = 1.0) -> dict[float, float]:
        """How many are in each bucket alone, by its upper bound times `scale`."""
        found, below = {}, 0.0
        for bound in sorted(self._buckets):
            found[bound * scale] = max(0.0, self._buckets[bound] - below)
            below = max(below, self._buckets[bound])
        return found

    @property
    def bounds(self) -> list[float]:
        """The finite bounds."""
        return [bound for bound in sorted(self._buckets) if bound != math.inf]


def count_of(value: float) -> int:
    """A counter's growth as a whole number."""
    return round(value)


def only(labels: Mapping[str, str], **wanted: str) -> bool:
    """Whether all these labels have these values."""
    return all(labels.get(name) == value for name, value in wanted.items())
