"""Routes of now beside those of before: paired by name, and marked where they differ."""

from __future__ import annotations

import math

from interceptor.mesh.sources.compare import BETTER, WORSE, Pair, compare, host_of
from interceptor.mesh.sources.model import DEFAULT, Route, Table

FAST = {10.0: 0.0, 20.0: 900.0, 50.0: 100.0, math.inf: 0.0}
SLOW = {40.0: 0.0, 50.0: 300.0, 100.0: 700.0, math.inf: 0.0}


def table(*routes: Route) -> Table:
    return Table("deploy/orders", "somewhere", 30.0, list(routes))


def pairs(now: list[Route], before: list[Route], *, outbound: bool = False) -> dict[str, Pair]:
    found = compare(table(*now), table(*before), outbound=outbound)
    return {pair.key[1]: pair for pair in found}


def test_a_fix_is_seen() -> None:
    now = Route("GET /pay", success=1000, latencies=FAST)
    before = Route("GET /pay", "web.shop.svc.cluster.local:80", success=700, failure=300, latencies=SLOW)
    (pair,) = pairs([now], [before]).values()
    assert pair.differs == {"success": BETTER, "p50": BETTER, "p95": BETTER, "p99": BETTER}
    assert pair.words == "fails less, faster"


def test_a_break_is_seen() -> None:
    now = Route("GET /pay", success=60, failure=40, latencies=SLOW)
    (pair,) = pairs([now], [Route("GET /pay", success=1000, latencies=FAST)]).values()
    assert pair.differs["success"] == WORSE
    assert pair.words == "fails more, slower"


def test_noise_is_not_marked() -> None:
    now = Route("GET /pay", success=95, failure=5, latencies=FAST)
    (pair,) = pairs([now], [Route("GET /pay", success=970, failure=30, latencies=FAST)]).values()
    assert (pair.differs, pair.words) == ({}, "no difference")


def test_only_on_one_side() -> None:
    found = pairs([Route("GET /new", success=1)], [Route("GET /old", success=1)])
    assert (found["GET /new"].before, found["GET /old"].now) == (None, None)
    assert found["GET /new"].words == found["GET /old"].words == ""


def test_default_stands_beside_the_rest() -> None:
    """A mesh without named routes counts one figure; the session tells paths apart."""
    now = [Route("GET /a", success=10, latencies=FAST), Route("GET /b", failure=2, statuses={"500": 2})]
    before = [Route(DEFAULT, ":8080", "default", success=50), Route("[PROBE]", ":8080", "default", success=99)]
    found = pairs(now, before)
    assert set(found) == {"GET /a", "GET /b", DEFAULT}
    whole = found[DEFAULT].now
    assert whole is not None
    assert (whole.success, whole.failure, whole.statuses) == (10, 2, {"500": 2})
    assert whole.p50 is not None
    found = pairs([*now, Route("named", success=5)], [*before, Route("named", success=7)])
    whole = found[DEFAULT].now
    assert whole is not None
    assert whole.total == 12
    assert found["named"].before is not None


def test_outbound_by_service() -> None:
    now = [Route("GET /a", "orders:8080", success=10), Route("GET /a", "books", success=3)]
    before = [Route(DEFAULT, "orders.shop.svc.cluster.local:8080", "default", success=5)]
    found = compare(table(*now), table(*before), outbound=True)
    told = [(pair.now and pair.now.total, pair.before and pair.before.total) for pair in found]
    assert sorted(told, key=str) == [(10, 5), (10, None), (3, None)]


def test_hosts() -> None:
    assert [host_of(one) for one in ("orders:80", "orders.shop.svc:80", "10.0.0.1:80", "")] == [
        "orders", "orders", "10.0.0.1", "",
    ]  # fmt: skip
