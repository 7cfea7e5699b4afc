"""What a Prometheus gets to read: right figures, few series, text that strict readers take."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as old_families

from interceptor.http.exchange import Exchange
from interceptor.mesh.traffic.counts import MOST_ROUTES
from interceptor.mesh.traffic.hub import Hub
from interceptor.mesh.traffic.openmetrics import LONGEST_LABEL, MOST_STATUSES, families

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class _Registered:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> list[Metric]:
        return list(families(self._hub))


def exposed(hub: Hub, accept: str) -> str:
    registry = CollectorRegistry()
    registry.register(_Registered(hub))
    encode, _ = choose_encoder(accept)
    return encode(registry).decode()


def read(hub: Hub) -> dict[str, Metric]:
    text = exposed(hub, OPENMETRICS)
    assert text.endswith("\n# EOF\n")
    assert list(old_families(exposed(hub, "text/plain")))
    return {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]


def passed(path: str, status: int = 200, seconds: float = 0.003, **more: object) -> Exchange:
    exchange = Exchange()
    exchange.method, exchange.path, exchange.status = "GET", path, status
    exchange.began, exchange.answered, exchange.ended = 10.0, 10.0 + seconds, 11.0
    exchange.request_size, exchange.response_size = 7, 11
    for name, value in more.items():
        setattr(exchange, name, value)
    return exchange


def value(family: Metric, name: str, **labels: str) -> float:
    (found,) = [
        sample.value for sample in family.samples if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found


def test_counts_by_route_and_status() -> None:
    hub = Hub()
    for number in range(5):
        hub.traffic.add(passed(f"/books/{number}", 503 if number == 4 else 200), "inbound", 1.0)
    hub.traffic.add(passed("/shop.Books/Get", grpc=True, grpc_status=14), "outbound", 1.0)
    found = read(hub)
    route = {"direction": "inbound", "service": "", "route": "GET /books/{id}"}
    assert value(found["interceptor_requests"], "interceptor_requests_total", **route, status="200") == 4
    assert value(found["interceptor_requests"], "interceptor_requests_total", **route, status="503") == 1
    assert value(found["interceptor_requests"], "interceptor_requests_total", status="grpc 14") == 1
    failures = found["interceptor_request_failures"]
    assert value(failures, "interceptor_request_failures_total", **route) == 1
    sizes = found["interceptor_response_body_bytes"]
    assert value(sizes, "interceptor_response_body_bytes_total", **route) == 55


def test_latencies_stand_in_their_buckets() -> None:
    hub = Hub()
    for seconds in (0.0004, 0.003, 0.003, 0.2, 100.0):
        hub.traffic.add(passed("/", seconds=seconds), "inbound", 1.0)
    found = read(hub)["interceptor_request_latency_seconds"]
    name = "interceptor_request_latency_seconds"
    for bound, count in (("0.001", 1), ("0.0025", 1), ("0.005", 3), ("0.25", 4), ("60.0", 4), ("+Inf", 5)):
        assert value(found, f"{name}_bucket", le=bound) == count, bound
    assert value(found, f"{name}_count") == 5
    assert abs(value(found, f"{name}_sum") - 100.2064) < 1e-6


def test_strangers_words_stay_labels() -> None:
    hub = Hub()
    for path in ('/a"b', "/a\\b\nc", "/a\r\x85\u2028b", "/\xff{}", f"/{'x-' * 9000}", f"/{'x-' * 9000}y"):
        hub.traffic.add(passed(path), "inbound", 1.0)
    found = read(hub)["interceptor_requests"]
    routes = {sample.labels["route"] for sample in found.samples}
    assert 'GET /a"b' in routes
    assert "GET /a\\b\nc" in routes
    assert max(map(len, routes)) <= LONGEST_LABEL
    assert sum(sample.value for sample in found.samples) == 6


def test_series_are_bounded() -> None:
    hub = Hub()
    for number in range(3 * MOST_ROUTES):
        hub.traffic.add(passed("/x", authority=f"host{number}"), "outbound", 1.0)
    for status in range(100, 400):
        hub.traffic.add(passed("/y", status), "inbound", 1.0)
    hub.traffic.add(passed("/y", grpc=True, grpc_status=12345), "inbound", 1.0)
    found = read(hub)["interceptor_requests"]
    assert len(found.samples) <= MOST_ROUTES + MOST_STATUSES + 3
    assert sum(sample.value for sample in found.samples) == 3 * MOST_ROUTES + 301


def test_nothing_seen_is_valid() -> None:
    assert value(read(Hub())["interceptor_connections"], "interceptor_connections") == 0
