"""A workload's figures as a whole: what callers got, without probes and the proxy's own port."""

from __future__ import annotations

import pytest

from interceptor.mesh.exposition import samples
from interceptor.mesh.sources import envoy, linkerd
from interceptor.mesh.sources.model import DEFAULT, Query, Route
from interceptor.mesh.sources.whole import connections_of_envoy, sum_of, whole_of

IN = 'direction="inbound",target_port="8080",route_kind="default",route_name="default"'
PROBE = IN.replace('route_name="default"', 'route_name="probe"')
TEXT = f"""
response_total{{{IN},status_code="200",classification="success"}} 90
response_total{{{IN},status_code="503",classification="failure"}} 10
response_total{{{PROBE},classification="success"}} 7
response_total{{{IN.replace("8080", "4191")},classification="success"}} 8
response_total{{{IN.replace("inbound", "outbound")},classification="success"}} 9
response_latency_ms_bucket{{{IN},le="1"}} 50
response_latency_ms_bucket{{{IN},le="2"}} 100
response_latency_ms_bucket{{{IN},le="+Inf"}} 100
tcp_read_bytes_total{{direction="inbound",peer="src",target_port="8080"}} 1000
tcp_read_bytes_total{{direction="inbound",peer="src",target_port="4191"}} 5
tcp_read_bytes_total{{direction="inbound",peer="dst"}} 6
tcp_write_bytes_total{{direction="inbound",peer="src",target_port="8080"}} 2000
"""


def test_linkerd() -> None:
    whole = whole_of(list(samples(TEXT, linkerd.NAMES)), [], Query("shop", "Deployment", "web", 30))
    assert whole is not None
    assert (whole.success, whole.failure, whole.statuses) == (90, 10, {"200": 90, "503": 10})
    assert (whole.p50, whole.p95) == pytest.approx((1.0, 1.9))
    assert (whole.request_bytes, whole.response_bytes) == (1000, 2000)


def test_sum_of_routes() -> None:
    """Where the proxies have nothing of all routes together, as Envoys don't."""
    routes = [Route("/a", success=1), Route("/b", failure=2), Route("[PROBE]", kind="default", success=9)]
    whole = whole_of([], routes, Query("shop", "Deployment", "web", 30))
    assert whole is not None
    assert (whole.route, whole.success, whole.failure, whole.p50) == (DEFAULT, 1, 2, None)
    assert sum_of([]) is None


def test_connections_of_envoy() -> None:
    text = """
envoy_http_downstream_cx_active{envoy_http_conn_manager_prefix="ingress"} 3
envoy_http_downstream_cx_active{envoy_http_conn_manager_prefix="admin"} 1
"""
    assert connections_of_envoy(samples(text, envoy.NAMES)) == 3
