"""A workload's figures as a whole, all routes together: what `stat` shows. Pure; the sources of metrics call it.

Probes and the proxy's admin port are left out: what callers get is asked for, and a mesh counts both beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

from interceptor.mesh.exposition import Sample
from interceptor.mesh.sources.compare import QUANTILES, is_probe, merged
from interceptor.mesh.sources.deltas import Growth, Histogram, count_of
from interceptor.mesh.sources.linkerd import ADMIN_PORT
from interceptor.mesh.sources.model import DEFAULT, INBOUND, Query, Route

_ENVOYS_OWN = frozenset({"admin", "agent", "stats"})


def whole_of(grown: Growth, routes: Iterable[Route], query: Query) -> Route | None:
    """From what the proxies counted: the family that has all protocols and routes, else the sum of the routes."""
    if query.direction == INBOUND:
        found = _inbound(grown)
        if found is not None:
            return found
    return sum_of(routes)


def sum_of(routes: Iterable[Route]) -> Route | None:
    """All routes together; None without one."""
    many = [route for route in routes if not is_probe(route)]
    return merged(many, DEFAULT) if many else None


def _inbound(grown: Growth) -> Route | None:
    """Linkerd's `response_total` and its TCP counters, which are there in every 2.x proxy."""
    whole, latency, seen = Route(DEFAULT, "", "default"), Histogram(), False
    for sample in grown:
        labels, count = sample.labels, count_of(sample.value)
        if labels.get("direction") != INBOUND or labels.get("target_port") == ADMIN_PORT:
            continue
        if labels.get("route_name") == "probe" and labels.get("route_kind") == "default":
            continue
        if sample.name == "response_total":
            seen = True
            failed = labels.get("classification") != "success"
            whole.success += 0 if failed else count
            whole.failure += count if failed else 0
            status = labels.get("status_code") or "none"
            if count:
                whole.statuses[status] = whole.statuses.get(status, 0) + count
        elif sample.name == "response_latency_ms_bucket":
            latency.add(labels.get("le", ""), sample.value)
        elif labels.get("peer") == "src":  # the callers' side
            if sample.name == "tcp_read_bytes_total":
                whole.request_bytes = (whole.request_bytes or 0) + count
            elif sample.name == "tcp_write_bytes_total":
                whole.response_bytes = (whole.response_bytes or 0) + count
    if not seen and whole.request_bytes is None:
        return None
    whole.p50, whole.p95, whole.p99 = (latency.quantile(share) for _, share in QUANTILES)
    whole.latencies = latency.counts()
    return whole


def connections_of_envoy(samples: Iterable[Sample]) -> int:
    """Connections to its listeners that are open now."""
    return count_of(
        sum(
            sample.value
            for sample in samples
            if sample.name == "envoy_http_downstream_cx_active"
            and sample.labels.get("envoy_http_conn_manager_prefix") not in _ENVOYS_OWN
        )
    )
