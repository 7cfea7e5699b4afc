"""What is counted adds up, whatever the paths and times."""

from __future__ import annotations

import pytest

from interceptor.http.exchange import CALLER, Exchange
from interceptor.mesh.traffic.counts import MOST_ROUTES, OTHERS, Counts, Traffic, bucket_of, merged, quantile
from interceptor.mesh.traffic.templates import MOST_WORDS


def exchange(path: str = "/", status: int = 200, latency: float = 0.01, **more: object) -> Exchange:
    one = Exchange()
    one.method, one.path, one.status, one.answered, one.ended = "GET", path, status, latency, latency
    for name, value in more.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize("seconds", [0.00002, 0.001, 0.0137, 1.0, 59.0])
def test_quantiles_are_close(seconds: float) -> None:
    assert quantile({bucket_of(seconds): 3}, 0.5) == pytest.approx(seconds, rel=0.025)


def test_quantile_of_many() -> None:
    buckets: dict[int, int] = {}
    for millisecond in range(1, 1001):
        bucket = bucket_of(millisecond / 1000)
        buckets[bucket] = buckets.get(bucket, 0) + 1
    for share in (0.5, 0.95, 0.99):
        assert quantile(buckets, share) == pytest.approx(share, rel=0.03)
    assert quantile({}, 0.5) is None


def test_success_and_failure() -> None:
    counts = Counts()
    for status, more in (
        (200, {}),
        (404, {}),
        (500, {}),
        (200, {"grpc": True, "grpc_status": 5}),
        (200, {"grpc": True, "grpc_status": 14}),
        (200, {"cancelled": CALLER}),
        (0, {"cancelled": CALLER}),
    ):
        counts.add(exchange(status=status, **more))
    assert (counts.success, counts.failure) == (3, 4)
    shown = counts.to_json()
    assert shown["statuses"] == {"200": 2, "404": 1, "500": 1, "grpc 5": 1, "grpc 14": 1, "none": 1}
    assert Counts.from_json(shown).to_json() == shown


def test_routes_stay_few() -> None:
    traffic = Traffic()
    for number in range(5000):
        traffic.add(exchange(f"/{chr(97 + number % 26)}{number % 17:c}x/{number}/y{number % 19}"), "inbound", 0.0)
        traffic.add(exchange(method=f"M{number}"), "inbound", 0.0)
    assert len(traffic.total) <= MOST_ROUTES + 1
    assert merged(traffic.total.values()).success == 10_000
    assert ("inbound", "", OTHERS) in traffic.total


def test_routes_that_become_one_keep_their_counts() -> None:
    traffic = Traffic()
    for number in range(MOST_WORDS + 10):
        traffic.add(exchange("/books/w" + "x" * number), "inbound", float(number))
    assert {key: counts.success for key, counts in traffic.total.items()} == {
        ("inbound", "", "GET /books/{id}"): MOST_WORDS + 10
    }
    recent, _ = traffic.since(600.0, float(MOST_WORDS + 10))
    assert {key: counts.success for key, counts in recent.items()} == {
        ("inbound", "", "GET /books/{id}"): MOST_WORDS + 10
    }


def test_window() -> None:
    traffic = Traffic()
    for second in range(100):
        traffic.add(exchange(), "inbound", float(second))
    counts, seconds = traffic.since(30.0, 100.0)
    assert merged(counts.values()).success == pytest.approx(seconds, abs=1.0)
    assert 30.0 <= seconds <= 36.0


def test_outbound_by_authority() -> None:
    traffic = Traffic()
    traffic.add(exchange(authority="books:80"), "outbound", 0.0)
    assert list(traffic.total) == [("outbound", "books:80", "GET /")]
