"""What is called different is different, and chance is seldom taken for more."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from interceptor.mesh.sources import chance as chance_module
from interceptor.mesh.sources.chance import Sample, holm, quantiles_differ, shares_differ
from interceptor.mesh.traffic.counts import bounds_of, bucket_of

# Linkerd's bounds for response_latency_ms, in part.
LINKERD = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 1000.0, math.inf)


def fine(milliseconds: list[float]) -> Sample:
    """As a session counts."""
    buckets: dict[int, int] = {}
    for value in milliseconds:
        bucket = bucket_of(value / 1000)
        buckets[bucket] = buckets.get(bucket, 0) + 1
    return Sample(bounds_of(buckets))


def coarse(milliseconds: list[float]) -> Sample:
    """As a Linkerd proxy counts."""
    counts = dict.fromkeys(LINKERD, 0.0)
    for value in milliseconds:
        counts[next(bound for bound in LINKERD if value <= bound)] += 1
    return Sample(counts)


@pytest.mark.parametrize(
    ("table", "chance"),
    [
        ((3, 4, 1, 4), 0.4857142857),  # Fisher's own tea
        ((1, 10, 11, 14), 0.002759456),  # the example of many textbooks
        ((0, 100, 5, 100), 0.05938321),
        ((300, 1000, 250, 1000), 0.01228274),  # the z-test, by hand: 50 / sqrt(2000 * 0.275 * 0.725)
        ((0, 50, 0, 70), 1.0),
        ((5, 5, 7, 7), 1.0),
        ((3, 0, 1, 4), 1.0),
    ],
)
def test_shares(table: tuple[int, int, int, int], chance: float) -> None:
    assert shares_differ(*table) == pytest.approx(chance, abs=1e-6)


def test_both_tests_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one test takes over from the other, they say about the same."""
    seen = []
    for few in (0.0, 1e9):
        monkeypatch.setattr(chance_module, "FEW", few)
        seen.append(shares_differ(15, 10_000, 30, 10_000))
    assert seen[0] != seen[1]
    assert seen[0] == pytest.approx(seen[1], rel=0.5)


def test_quantiles_within_a_bucket() -> None:
    sample = Sample({10.0: 0, 20.0: 100, math.inf: 0})
    assert (sample.bucket(0.5), sample.quantile(0.5), sample.up_to(12.5)) == ((10.0, 20.0), 15.0, 25.0)
    assert Sample({10.0: 1, math.inf: 9}).quantile(0.5) == 10.0
    assert Sample({}).quantile(0.5) is None


def test_slower_and_faster() -> None:
    chance = random.Random(7)  # noqa: S311 - the same every time
    before = [chance.lognormvariate(math.log(20), 0.5) for _ in range(800)]
    slower = [1.6 * chance.lognormvariate(math.log(20), 0.5) for _ in range(300)]
    for kind in (fine, coarse):
        way, p = quantiles_differ(fine(slower), kind(before), 0.5)
        assert way == 1
        assert p < 1e-6
        assert quantiles_differ(fine([value / 3 for value in slower]), kind(before), 0.95)[0] == -1


def test_what_a_bucket_hides_is_not_told() -> None:
    """All at 19.9 ms, then all at 20.2: another bucket of Linkerd's, and no difference worth a word."""
    assert quantiles_differ(fine([20.2] * 1000), coarse([19.9] * 1000), 0.5) == (0, 1.0)
    assert quantiles_differ(fine([18.0] * 1000), coarse([11.0] * 1000), 0.5) == (0, 1.0)


@pytest.mark.parametrize("kind", [fine, coarse])
@pytest.mark.parametrize("sizes", [(40, 60), (300, 1000)])
def test_chance_alone_is_seldom_marked(kind: Callable[[list[float]], Sample], sizes: tuple[int, int]) -> None:
    chance = random.Random(11)  # noqa: S311 - the same every time
    marked, rounds = 0, 300
    for _ in range(rounds):
        now, before = ([chance.lognormvariate(math.log(30), 0.8) for _ in range(size)] for size in sizes)
        chances = [quantiles_differ(fine(now), kind(before), share)[1] for share in (0.5, 0.95, 0.99)]
        failures = [sum(chance.random() < 0.05 for _ in range(size)) for size in sizes]
        chances.append(shares_differ(failures[0], sizes[0], failures[1], sizes[1]))
        marked += any(holm(chances, 0.01))
    assert marked <= 0.02 * rounds


def test_holm() -> None:
    assert holm([0.001, 0.02, 0.004], 0.01) == [True, False, True]
    assert holm([0.004, 0.004, 0.004], 0.01) == [False, False, False]
    assert holm([], 0.01) == []
