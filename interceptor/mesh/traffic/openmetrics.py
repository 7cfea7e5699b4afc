"""What a hub has counted, as metric families of `prometheus_client`; `session.metrics` exposes them.

The label values are bounded as the counts are: routes are templates, MOST_ROUTES of them at most, statuses are those that
exist. When paths become one template their series end, and that of the template has their sum.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from interceptor.mesh.traffic.counts import Counts, middle_of
from interceptor.mesh.traffic.hub import Hub
from interceptor.mesh.traffic.record import INBOUND, OUTBOUND

# Seconds. What was counted finer goes to the bound that its middle is below: bounds are right within 2 %.
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONGEST_LABEL = 200  # characters: a path may have 64 KiB
MOST_STATUSES = 40  # of one route
OTHER = "other"

Labels = tuple[str, str, str]
_LABELS = ("direction", "service", "route")


def families(hub: Hub) -> Iterator[Metric]:
    """All of a session's requests."""
    hub.catch_up()
    counted = _by_labels(hub)
    yield _requests(counted)
    for name, what, attribute in (
        ("interceptor_request_failures", "Requests answered with 5xx, a gRPC status of the server's, or not to the end.",
         "failure"),
        ("interceptor_request_body_bytes", "Bytes of requests' bodies.", "request_bytes"),
        ("interceptor_response_body_bytes", "Bytes of answers' bodies.", "response_bytes"),
    ):  # fmt: skip
        family = CounterMetricFamily(name, what, labels=_LABELS, unit="bytes" if name.endswith("bytes") else "")
        for labels, counts in counted.items():
            family.add_metric(labels, getattr(counts, attribute))
        yield family
    yield _latencies(counted)
    under_way = GaugeMetricFamily("interceptor_requests_under_way", "Requests not at their end.", labels=("direction",))
    directions = [where.direction for where in hub.under_way.values()]
    for direction in (INBOUND, OUTBOUND):
        under_way.add_metric((direction,), directions.count(direction))
    yield under_way
    yield GaugeMetricFamily("interceptor_connections", "Relayed connections that are open.", hub.connections)
    opaque = "Connections that could not be read: TLS, another protocol, a broken message."
    yield CounterMetricFamily("interceptor_opaque_connections", opaque, sum(hub.opaque.values()))


def _by_labels(hub: Hub) -> dict[Labels, Counts]:
    """What differs only beyond the longest label is one."""
    found: dict[Labels, Counts] = {}
    for key, counts in hub.traffic.total.items():
        direction, service, route = (text[:LONGEST_LABEL] for text in key)
        found.setdefault((direction, service, route), Counts()).merge(counts)
    return found


def _requests(counted: dict[Labels, Counts]) -> Metric:
    text = "Requests that have ended, by status: HTTP's, that of gRPC where there is one, or none without an answer."
    family = CounterMetricFamily("interceptor_requests", text, labels=(*_LABELS, "status"))
    for labels, counts in counted.items():
        by_status: dict[str, int] = {}
        for status, count in counts.statuses.items():
            name = _status(status)
            if name not in by_status and len(by_status) >= MOST_STATUSES:
                name = OTHER
            by_status[name] = by_status.get(name, 0) + count
        for name, count in by_status.items():
            family.add_metric((*labels, name), count)
    return family


def _status(status: int | str) -> str:
    if isinstance(status, int):
        return str(status) if 100 <= status <= 999 else OTHER if status else "none"
    return status if status in _GRPC else OTHER


_GRPC = frozenset(f"grpc {code}" for code in range(17))


def _latencies(counted: dict[Labels, Counts]) -> Metric:
    text = "Time from a request's first byte to its answer's first byte."
    family = HistogramMetricFamily("interceptor_request_latency_seconds", text, labels=_LABELS, unit="seconds")
    bounds = [*map(str, BOUNDS), "+Inf"]
    for labels, counts in counted.items():
        found = [0] * len(bounds)
        for bucket, count in counts.latencies.items():
            found[bisect_left(BOUNDS, middle_of(bucket))] += count
        family.add_metric(labels, list(zip(bounds, accumulate(found), strict=True)), counts.seconds)
    return family
