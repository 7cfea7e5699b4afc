"""Whether two samples of requests differ by more than chance: the statistics behind `compare`. Pure.

Shares (of failures, of answers slower than a bound) are compared by the two-proportion z-test, or by Fisher's exact test
where few are expected in a cell and the normal approximation would see differences that are none. Latencies are compared
quantile by quantile, because averages hide the slow tail and bucketed samples have no finer ranks: the share of answers
beyond the bucket in which the other side's quantile lies.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence

FEW = 10.0  # expected in a cell: below it, count exactly
ACCURACY = 0.05  # of a quantile; a smaller difference is not told, however many requests prove it
FINEST = 1.0  # milliseconds, for the same
_TIE = 1 + 1e-9  # how much likelier a table may be than the seen one and still count as no likelier: rounding


def shares_differ(some: float, of: float, others: float, of_others: float) -> float:
    """The two-sided probability that chance alone makes two shares differ as much as some/of and others/of_others."""
    a, n, b, m = round(some), round(of), round(others), round(of_others)
    total, marked = n + m, a + b
    if not n or not m or marked in (0, total):
        return 1.0
    if min(n, m) * min(marked, total - marked) / total < FEW:
        return _fisher(a, n, b, m)
    share = marked / total
    z = (a / n - b / m) / math.sqrt(share * (1 - share) * (1 / n + 1 / m))
    return math.erfc(abs(z) / math.sqrt(2))


def _fisher(a: int, n: int, b: int, m: int) -> float:
    """Fisher's exact test: all tables with these margins that are no likelier than this one."""
    marked = a + b

    def weight(count: int) -> float:
        return _choose(n, count) + _choose(m, marked - count)

    seen, total = weight(a), _choose(n + m, marked)
    chances = (weight(count) for count in range(max(0, marked - m), min(n, marked) + 1))
    return min(1.0, sum(math.exp(one - total) for one in chances if one <= seen + math.log(_TIE)))


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


class Sample:
    """Latencies in buckets: how many answers up to each bound, in milliseconds."""

    def __init__(self, counts: Mapping[float, float]) -> None:
        self.bounds = sorted(counts)
        self._up_to: list[float] = []
        total = 0.0
        for bound in self.bounds:
            total += counts[bound]
            self._up_to.append(total)
        self.total = total

    def bucket(self, share: float) -> tuple[float, float]:
        """The lower and upper bound of the bucket in which the quantile lies."""
        index = min(bisect_left(self._up_to, share * self.total), len(self.bounds) - 1)
        return self.bounds[index - 1] if index else 0.0, self.bounds[index]

    def quantile(self, share: float) -> float | None:
        """Linear within its bucket; beyond the last finite bound that bound, as Prometheus says it."""
        if self.total <= 0:
            return None
        lower, upper = self.bucket(share)
        if upper == math.inf:
            return lower
        below, here = self.up_to(lower), self.up_to(upper)
        return lower + (upper - lower) * ((share * self.total - below) / (here - below) if here > below else 1.0)

    def up_to(self, bound: float) -> float:
        """How many took so long at most; linear where the bound is within a bucket."""
        index = bisect_left(self.bounds, bound)
        if index == len(self.bounds):
            return self.total
        below = self._up_to[index - 1] if index else 0.0
        upper = self.bounds[index]
        if upper == bound:
            return self._up_to[index]
        lower = self.bounds[index - 1] if index else 0.0
        if upper == math.inf:
            return below
        return below + (self._up_to[index] - below) * (bound - lower) / (upper - lower)


def quantiles_differ(now: Sample, before: Sample, share: float) -> tuple[int, float]:
    """Which way a quantile has moved (-1: faster, 1: slower, 0: not that one could tell), and the chance that it has not.

    It has moved when it left the bucket in which it was by more than our accuracy. Then the shares of answers beyond
    that bucket's bound are compared: before it was about 1 - share of them, now it is something else.
    """
    value = now.quantile(share)
    if value is None or before.total <= 0:
        return 0, 1.0
    lower, upper = before.bucket(share)
    if value > upper + max(FINEST, ACCURACY * upper):
        bound, way = upper, 1
    elif value < lower - max(FINEST, ACCURACY * lower):
        bound, way = lower, -1
    else:
        return 0, 1.0
    return way, shares_differ(now.up_to(bound), now.total, before.up_to(bound), before.total)


def holm(chances: Sequence[float], level: float) -> list[bool]:
    """Which of many differences are real, so that all together are wrong at most with this chance (Holm's method)."""
    real = [False] * len(chances)
    for rank, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        if chances[index] > level / (len(chances) - rank):
            break
        real[index] = True
    return real
