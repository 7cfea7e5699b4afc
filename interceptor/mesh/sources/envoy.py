"""From what an Envoy counted to routes: Istio's metrics where it has them, else Envoy's own by cluster. Pure.

Neither has the route of a request: what is told apart is the service asked, and virtual clusters where they are set up.
"""

from __future__ import annotations

from interceptor.mesh.sources.deltas import Growth, Histogram, count_of
from interceptor.mesh.sources.model import DEFAULT, OUTBOUND, Query, Route

NAMES = frozenset(
    {
        "istio_requests_total",
        "istio_request_duration_milliseconds_bucket",
        "istio_request_bytes_sum",
        "istio_response_bytes_sum",
        "envoy_cluster_upstream_rq",
        "envoy_cluster_upstream_rq_time_bucket",
        "envoy_cluster_upstream_rq_retry",
        "envoy_cluster_upstream_rq_timeout",
        "envoy_http_downstream_rq_xx",
        "envoy_http_downstream_rq_time_bucket",
        "envoy_vhost_vcluster_upstream_rq",
        "envoy_vhost_vcluster_upstream_rq_time_bucket",
        "envoy_http_downstream_cx_active",
        "envoy_server_uptime",
    }
)
_GRPC_FAILURES = frozenset({"2", "4", "7", "13", "14", "15"})
# Envoy's own business, not the app's.
_ADMIN = frozenset({"admin", "agent", "stats", "prometheus_stats"})


def routes_of(grown: Growth, query: Query) -> list[Route]:
    """The routes that the query asks for, in no order."""
    if any(sample.name == "istio_requests_total" for sample in grown):
        return _istio(grown, query)
    return _plain(grown, query)


def _istio(grown: Growth, query: Query) -> list[Route]:
    reporter = "source" if query.direction == OUTBOUND else "destination"
    routes: dict[str, Route] = {}
    latencies: dict[str, Histogram] = {}
    for sample in grown:
        labels = sample.labels
        if not sample.name.startswith("istio_") or labels.get("reporter") != reporter:
            continue
        service = labels.get("destination_service") or labels.get("destination_service_name", "")
        if not query.is_wanted(service):
            continue
        route = routes.setdefault(service, Route(DEFAULT, service, "default"))
        count = count_of(sample.value)
        if sample.name == "istio_requests_total":
            code, grpc = labels.get("response_code", ""), labels.get("grpc_response_status", "")
            failed = code in ("", "0") or code.startswith("5") or grpc in _GRPC_FAILURES
            _add(route, count, failed, code)
            flags = labels.get("response_flags", "")
            if "UT" in flags or "SI" in flags:
                route.timeouts = (route.timeouts or 0) + count
        elif sample.name == "istio_request_duration_milliseconds_bucket":
            latencies.setdefault(service, Histogram()).add(labels.get("le", ""), sample.value)
        elif sample.name == "istio_request_bytes_sum":
            route.request_bytes = (route.request_bytes or 0) + count
        elif sample.name == "istio_response_bytes_sum":
            route.response_bytes = (route.response_bytes or 0) + count
    return _finish(routes, latencies)


def _plain(grown: Growth, query: Query) -> list[Route]:
    """Envoy without a mesh: what it asked of its clusters; virtual clusters are routes."""
    routes: dict[str, Route] = {}
    latencies: dict[str, Histogram] = {}
    for sample in grown:
        labels, count = sample.labels, count_of(sample.value)
        if sample.name.startswith("envoy_vhost_vcluster_"):
            service, name = labels.get("envoy_virtual_host", ""), labels.get("envoy_virtual_cluster", "")
            if name == "other":
                name = DEFAULT
            key = f"{service} {name}"
        elif sample.name.startswith("envoy_cluster_upstream_rq"):
            service, name = labels.get("envoy_cluster_name", ""), DEFAULT
            key = f"cluster {service}"
        else:
            continue
        if not query.is_wanted(service) or service in _ADMIN:
            continue
        route = routes.setdefault(key, Route(name, service, "default" if name == DEFAULT else "virtual cluster"))
        if sample.name in ("envoy_cluster_upstream_rq", "envoy_vhost_vcluster_upstream_rq"):
            code = labels.get("envoy_response_code", "")
            if code:
                _add(route, count, code.startswith("5"), code)
        elif sample.name.endswith("_rq_time_bucket"):
            latencies.setdefault(key, Histogram()).add(labels.get("le", ""), sample.value)
        elif sample.name.endswith("_rq_retry"):
            route.retries = (route.retries or 0) + count
        elif sample.name.endswith("_rq_timeout"):
            route.timeouts = (route.timeouts or 0) + count
    virtual = {key: route for key, route in routes.items() if not key.startswith("cluster ")}
    if any(route.total for route in virtual.values()):
        routes = virtual  # they are part of the clusters' figures
    return _finish(routes, latencies)


def _finish(routes: dict[str, Route], latencies: dict[str, Histogram]) -> list[Route]:
    for key, route in routes.items():
        latency = latencies.get(key)
        if latency is not None:
            route.p50, route.p95, route.p99 = (latency.quantile(share) for share in (0.5, 0.95, 0.99))
            route.latencies = latency.counts()
    return list(routes.values())


def _add(route: Route, count: int, failed: bool, status: str) -> None:
    if failed:
        route.failure += count
    else:
        route.success += count
    if count:
        route.statuses[status] = route.statuses.get(status, 0) + count
