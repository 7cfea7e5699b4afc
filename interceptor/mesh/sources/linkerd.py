"""From what a Linkerd proxy counted to routes: every family of metrics that the 2.x proxies have had for them. Pure.

A Service with a ServiceProfile counts in `route_*`, any other in `outbound_http_route_*`, `outbound_grpc_route_*` and,
inbound, `inbound_http_*`, `inbound_grpc_*`; older proxies have `response_total` only. So each family is looked for in
this order, and a service (or inbound port) that one has counted is not counted again by the next.
"""

from __future__ import annotations

from collections.abc import Iterable

from interceptor.mesh.exposition import Sample
from interceptor.mesh.sources.deltas import Growth, Histogram, count_of
from interceptor.mesh.sources.model import DEFAULT, INBOUND, OUTBOUND, Query, Route

_LATENCY = "route_response_latency_ms_bucket"
_POLICY = tuple(
    f"outbound_{kind}_route_{name}"
    for kind in ("http", "grpc")
    for name in (
        "request_statuses_total",
        "request_duration_seconds_bucket",
        "retry_requests_total",
        "backend_response_statuses_total",
        "request_frame_size_bytes_sum",
        "backend_response_frame_size_bytes_sum",
    )
)
_INBOUND = tuple(
    f"inbound_{kind}_{name}"
    for kind in ("http", "grpc")
    for name in (
        "statuses_total",
        "request_duration_seconds_bucket",
        "request_frame_size_bytes_sum",
        "response_frame_size_bytes_sum",
    )
)
NAMES = frozenset(
    {
        "route_request_total",
        "route_response_total",
        "route_actual_response_total",
        "route_retryable_total",
        _LATENCY,
        "response_total",
        "response_latency_ms_bucket",
        "process_start_time_seconds",
        "tcp_open_connections",
        "tcp_read_bytes_total",
        "tcp_write_bytes_total",
        *_POLICY,
        *_INBOUND,
    }
)
ADMIN_PORT = "4191"
_TIMEOUTS = frozenset({"timeout", "REQUEST_TIMEOUT", "RESPONSE_HEADERS_TIMEOUT", "RESPONSE_STREAM_TIMEOUT"})
# What the proxy takes for gRPC's failures: numbers in the old families, names in the new.
_GRPC_FAILURES = frozenset(
    {"2", "4", "7", "13", "14", "15", "UNKNOWN", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "INTERNAL", "UNAVAILABLE"}
) | {"DATA_LOSS"}


class _Building:
    """A route while its series are added up."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.latency = Histogram()
        self.scale = 1.0  # to milliseconds

    def finish(self) -> Route:
        """With its quantiles."""
        route = self.route
        route.p50, route.p95, route.p99 = (
            None if value is None else value * self.scale
            for value in (self.latency.quantile(share) for share in (0.5, 0.95, 0.99))
        )
        route.latencies = self.latency.counts(self.scale)
        return route


def routes_of(grown: Growth, query: Query) -> list[Route]:
    """The routes that the query asks for, in no order."""
    building: dict[tuple[str, str], _Building] = {}
    counted = _profiles(grown, query, building)
    if query.direction == OUTBOUND:
        counted |= _outbound(grown, query, building, counted)
    elif not counted:
        counted |= _inbound(grown, building)
    if not counted:
        _legacy(grown, query, building)
    return [one.finish() for one in building.values()]


def _of(building: dict[tuple[str, str], _Building], service: str, name: str, kind: str) -> _Building:
    found = building.get((service, name))
    if found is None:
        found = building[service, name] = _Building(Route(name, service, kind))
    return found


def _profiles(grown: Growth, query: Query, building: dict[tuple[str, str], _Building]) -> set[str]:
    """ServiceProfiles: `route_*`, with `dst` and `rt_route`."""
    counted: set[str] = set()  # hosts; a route that was asked but not answered has its row, too
    for sample in grown:
        labels = sample.labels
        service = labels.get("dst", "")
        if not sample.name.startswith("route_") or labels.get("direction") != query.direction:
            continue
        if not query.is_wanted(service):
            continue
        name = labels.get("rt_route", DEFAULT)
        one = _of(building, service, name, "ServiceProfile" if "rt_route" in labels else "default")
        route, count = one.route, count_of(sample.value)
        if sample.name == "route_response_total":
            counted.add(service.partition(":")[0])
            _add(route, count, labels.get("classification") != "success", labels.get("status_code", ""))
            if labels.get("error", "") in _TIMEOUTS:
                route.timeouts = (route.timeouts or 0) + count
        elif sample.name == "route_actual_response_total":
            _add_actual(route, count, labels.get("classification") != "success")
        elif sample.name == "route_retryable_total" and "skipped" not in labels:
            route.retries = (route.retries or 0) + count
        elif sample.name == _LATENCY:
            one.latency.add(labels.get("le", ""), sample.value)
    return counted


def _outbound(grown: Growth, query: Query, building: dict[tuple[str, str], _Building], profiled: set[str]) -> set[str]:
    """HTTPRoutes and GRPCRoutes as the client's proxy counts them: `parent_*` and `route_*` labels."""
    counted = set()
    for sample in grown:
        labels, name = sample.labels, sample.name
        if not name.startswith(("outbound_http_route_", "outbound_grpc_route_")):
            continue
        host = f"{labels.get('parent_name', '')}.{labels.get('parent_namespace', '')}.svc"
        if any(other.startswith(host + ".") or other == host for other in profiled):
            continue
        service = f"{host}:{labels.get('parent_port', '')}"
        if not query.is_wanted(service):
            continue
        kind = labels.get("route_kind", "")
        own = kind not in ("default", "")
        one = _of(building, service, labels.get("route_name", "") if own else DEFAULT, kind if own else "default")
        route, count = one.route, count_of(sample.value)
        grpc = name.startswith("outbound_grpc")
        if name.endswith("_backend_response_statuses_total"):
            _add_actual(route, count, _policy_failed(labels, grpc))
        elif name.endswith("_request_statuses_total"):
            counted.add(service)
            status = labels.get("grpc_status" if grpc else "http_status", "")
            _add(route, count, _policy_failed(labels, grpc), status)
            if labels.get("error", "") in _TIMEOUTS:
                route.timeouts = (route.timeouts or 0) + count
        elif name.endswith("_retry_requests_total"):
            route.retries = (route.retries or 0) + count
        elif name.endswith("_route_request_duration_seconds_bucket"):
            one.scale = 1000.0
            one.latency.add(labels.get("le", ""), sample.value)
        elif name.endswith("_route_request_frame_size_bytes_sum"):
            route.request_bytes = (route.request_bytes or 0) + count
        elif name.endswith("_backend_response_frame_size_bytes_sum"):
            route.response_bytes = (route.response_bytes or 0) + count
    return counted


def _inbound(grown: Growth, building: dict[tuple[str, str], _Building]) -> set[str]:
    """The server's proxy, by Server and inbound route; probes are told apart, the admin port is not the app's."""
    counted = set()
    for sample in grown:
        labels, name = sample.labels, sample.name
        if not name.startswith(("inbound_http_", "inbound_grpc_")) or name not in _INBOUND:
            continue
        if labels.get("parent_port") == ADMIN_PORT:
            continue
        kind, named = labels.get("route_kind", ""), labels.get("route_name", "")
        title = named
        if kind == "default":
            title = DEFAULT if named in ("default", "") else f"[{named.upper()}]"
        one = _of(building, _server(labels), title, kind)
        route, count = one.route, count_of(sample.value)
        grpc = name.startswith("inbound_grpc")
        if name.endswith("_statuses_total"):
            counted.add(route.service)
            status = labels.get("status", "")
            failed = status in _GRPC_FAILURES if grpc else status.startswith("5")
            _add(route, count, failed or bool(labels.get("error")), status)
        elif name.endswith("_duration_seconds_bucket"):
            one.scale = 1000.0
            one.latency.add(labels.get("le", ""), sample.value)
        elif name.endswith("_request_frame_size_bytes_sum"):
            route.request_bytes = (route.request_bytes or 0) + count
        else:
            route.response_bytes = (route.response_bytes or 0) + count
    _finer_latencies(grown, building)
    return counted


def _finer_latencies(grown: Growth, building: dict[tuple[str, str], _Building]) -> None:
    """`response_latency_ms` has 26 buckets where the newer families have four: take it where it has the same labels."""
    finer: dict[str, Histogram] = {}
    for sample in grown:
        labels = sample.labels
        if sample.name == "response_latency_ms_bucket" and labels.get("direction") == INBOUND:
            key = f"{labels.get('target_port')} {labels.get('route_kind')} {labels.get('route_name')}"
            finer.setdefault(key, Histogram()).add(labels.get("le", ""), sample.value)
    for (service, _), one in building.items():
        port = service.rpartition(":")[2]
        kind, name = one.route.kind, one.route.route
        if kind == "default":
            name = name.strip("[]").lower()
        found = finer.get(f"{port} {kind} {name}")
        if found is not None and found.quantile(0.5) is not None:
            one.latency, one.scale = found, 1.0


def _legacy(grown: Growth, query: Query, building: dict[tuple[str, str], _Building]) -> None:
    """Proxies without any of these: all that passed, as one route for each service or port."""
    for sample in grown:
        labels = sample.labels
        if labels.get("direction") != query.direction or labels.get("target_port") == ADMIN_PORT:
            continue
        if query.direction == OUTBOUND:
            service = (
                labels.get("authority", "") or f"{labels.get('dst_service', '')}.{labels.get('dst_namespace', '')}"
            )
            if not query.is_wanted(service):
                continue
        else:
            service = f":{labels.get('target_port', '')}"
        if sample.name == "response_total":
            one = _of(building, service, DEFAULT, "default")
            _add(
                one.route,
                count_of(sample.value),
                labels.get("classification") != "success",
                labels.get("status_code", ""),
            )
        elif sample.name == "response_latency_ms_bucket":
            _of(building, service, DEFAULT, "default").latency.add(labels.get("le", ""), sample.value)


def connections_of(samples: Iterable[Sample], direction: str) -> int:
    """Connections open now, towards the app or from it."""
    return count_of(
        sum(
            sample.value
            for sample in samples
            if sample.name == "tcp_open_connections"
            and sample.labels.get("direction") == direction
            and sample.labels.get("peer") == ("src" if direction == INBOUND else "dst")
            and sample.labels.get("target_port") != ADMIN_PORT
        )
    )


def _server(labels: dict[str, str]) -> str:
    name = labels.get("parent_name", "")
    return f"{name if labels.get('parent_kind') != 'default' else ''}:{labels.get('parent_port', '')}"


def _policy_failed(labels: dict[str, str], grpc: bool) -> bool:
    """Whether the new families mean a failure: by status or by error, never both counted."""
    if labels.get("error"):
        return True
    if grpc:
        return labels.get("grpc_status") in _GRPC_FAILURES
    return labels.get("http_status", "").startswith("5")


def _add(route: Route, count: int, failed: bool, status: str) -> None:
    if failed:
        route.failure += count
    else:
        route.success += count
    if count:
        route.statuses[status or "none"] = route.statuses.get(status or "none", 0) + count


def _add_actual(route: Route, count: int, failed: bool) -> None:
    route.actual_success = (route.actual_success or 0) + (0 if failed else count)
    route.actual_failure = (route.actual_failure or 0) + (count if failed else 0)
