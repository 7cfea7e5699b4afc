"""Points of the charts: what passed between two looks."""

from __future__ import annotations

from interceptor.dash.history import MOST_POINTS, History
from interceptor.mesh.traffic.counts import Counts, Key, bucket_of

BOOKS: Key = ("inbound", "", "GET /books")


def counts(success: int, failure: int = 0, **latencies: int) -> Counts:
    found = Counts()
    found.success, found.failure = success, failure
    found.latencies = {bucket_of(int(name[1:]) / 1000): count for name, count in latencies.items()}
    return found


def test_rates_between_two_looks() -> None:
    history = History()
    history.add(10.0, {BOOKS: counts(100, 0, m5=100)})
    history.add(12.0, {BOOKS: counts(110, 4, m5=100, m50=14)})
    ((rate, failures, slow),) = history.points[BOOKS]
    assert (rate, failures) == (7.0, 2.0)
    assert slow is not None
    assert 48 < slow < 52


def test_idle_has_no_latency() -> None:
    history = History()
    for now in (0.0, 2.0):
        history.add(now, {BOOKS: counts(5, m5=5)})
    assert list(history.points[BOOKS]) == [(0.0, 0.0, None)]


def test_new_route_begins_at_once() -> None:
    history = History()
    history.add(0.0, {})
    history.add(2.0, {BOOKS: counts(8, m5=8)})
    assert history.points[BOOKS][0][0] == 4.0


def test_routes_that_became_one_are_forgotten() -> None:
    history = History()
    history.add(0.0, {BOOKS: counts(1)})
    history.add(2.0, {BOOKS: counts(2)})
    history.add(4.0, {("inbound", "", "GET /{id}"): counts(3)})
    assert list(history.points) == [("inbound", "", "GET /{id}")]


def test_counts_that_shrink_are_no_point() -> None:
    history = History()
    for now, success in ((0.0, 5), (2.0, 9), (4.0, 3), (6.0, 4)):
        history.add(now, {BOOKS: counts(success)})
    assert [rate for rate, _, _ in history.points[BOOKS]] == [2.0, 0.5]


def test_history_is_bounded() -> None:
    history = History()
    for now in range(3 * MOST_POINTS):
        history.add(float(now), {BOOKS: counts(now)})
    assert len(history.points[BOOKS]) == MOST_POINTS
