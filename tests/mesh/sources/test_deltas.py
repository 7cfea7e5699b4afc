"""Quantiles of histograms, as Prometheus reckons them."""

from __future__ import annotations

import pytest

from interceptor.mesh.sources.deltas import Histogram


def histogram(**buckets: float) -> Histogram:
    made = Histogram()
    for bound, count in buckets.items():
        made.add(bound.removeprefix("le").replace("_", ".").replace("Inf", "+Inf"), count)
    return made


def test_linear_within_a_bucket() -> None:
    made = histogram(le1=10, le2=20, leInf=20)
    assert [made.quantile(share) for share in (0.25, 0.5, 0.75, 1.0)] == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_beyond_the_last_bound() -> None:
    assert histogram(le1=10, leInf=20).quantile(0.99) == 1.0


def test_without_figures() -> None:
    assert histogram().quantile(0.5) is None
    assert histogram(le1=0, leInf=0).quantile(0.5) is None
    assert histogram(le1=5).quantile(0.5) is None


def test_series_add_up() -> None:
    made = histogram(le1=10, leInf=10)
    made.add("1", 0)
    made.add("+Inf", 10)
    assert made.quantile(0.5) == 1.0
