"""Routes from what Linkerd's proxies expose, in every family of metrics they have had."""

from __future__ import annotations

import pytest

from interceptor.mesh.exposition import samples
from interceptor.mesh.sources import linkerd
from interceptor.mesh.sources.deltas import growth
from interceptor.mesh.sources.model import DEFAULT, Query, Route

WEB = 'dst="web.shop.svc.cluster.local:8080"'
FLAKY = f'{WEB},rt_route="GET /books/{{id}}"'
OK, BAD = 'status_code="200",classification="success"', 'status_code="500",classification="failure"'
PARENT = (
    'parent_group="core",parent_kind="Service",parent_namespace="shop",parent_name="books",parent_port="8080",'
    'route_group="gateway.networking.k8s.io",route_kind="HTTPRoute",route_namespace="shop",route_name="books-flaky"'
)
SERVER = 'parent_group="",parent_kind="default",parent_name="all-unauthenticated",parent_port="8080",route_group=""'


def routes(text: str, *, to: str = "", before: str | None = None) -> dict[str, Route]:
    grown = growth(None if before is None else samples(before, linkerd.NAMES), samples(text, linkerd.NAMES))
    found = linkerd.routes_of(grown, Query("shop", "Deployment", "x", 30, to))
    return {route.route: route for route in found}


def test_service_profile_inbound() -> None:
    found = routes(f"""
route_request_total{{direction="inbound",{FLAKY}}} 30
route_request_total{{direction="inbound",{WEB},rt_route="GET /slow"}} 3
route_response_total{{direction="inbound",{FLAKY},{OK},grpc_status="",error=""}} 20
route_response_total{{direction="inbound",{FLAKY},{BAD},grpc_status="",error=""}} 10
route_response_total{{direction="inbound",{WEB},{OK},grpc_status="",error=""}} 1
route_response_latency_ms_bucket{{direction="inbound",{FLAKY},{OK},le="1"}} 10
route_response_latency_ms_bucket{{direction="inbound",{FLAKY},{OK},le="2"}} 20
route_response_latency_ms_bucket{{direction="inbound",{FLAKY},{OK},le="+Inf"}} 20
route_response_total{{direction="outbound",{FLAKY},{OK}}} 99
""")
    flaky = found["GET /books/{id}"]
    assert (flaky.success, flaky.failure, flaky.service) == (20, 10, "web.shop.svc.cluster.local:8080")
    assert (flaky.p50, flaky.p95, flaky.p99) == pytest.approx((1.0, 1.9, 1.98))
    assert flaky.statuses == {"200": 20, "500": 10}
    assert found["GET /slow"].success_rate is None
    assert found[DEFAULT].total == 1


def test_service_profile_outbound_with_retries_and_timeouts() -> None:
    found = routes(
        f"""
route_response_total{{direction="outbound",{FLAKY},{OK},grpc_status="",error=""}} 214
route_actual_response_total{{direction="outbound",{FLAKY},{OK},grpc_status="",error=""}} 214
route_actual_response_total{{direction="outbound",{FLAKY},{BAD},grpc_status="",error=""}} 92
route_retryable_total{{direction="outbound",{FLAKY}}} 92
route_retryable_total{{direction="outbound",{FLAKY},skipped="no_budget"}} 5
route_response_total{{direction="outbound",{WEB},rt_route="GET /slow",classification="failure",error="timeout"}} 7
route_response_total{{direction="outbound",dst="books.shop.svc.cluster.local:80",{OK}}} 5
""",
        to="svc/web",
    )
    assert set(found) == {"GET /books/{id}", "GET /slow"}
    flaky, slow = found["GET /books/{id}"], found["GET /slow"]
    assert (flaky.success_rate, flaky.actual_success, flaky.actual_failure, flaky.retries) == (1.0, 214, 92, 92)
    assert (slow.failure, slow.timeouts, slow.actual_rate, slow.statuses) == (7, 7, None, {"none": 7})


def test_http_route_outbound() -> None:
    found = routes(
        f"""
outbound_http_route_request_statuses_total{{{PARENT},hostname="",http_status="500",error="UNKNOWN"}} 6
outbound_http_route_request_statuses_total{{{PARENT},hostname="",http_status="500",error=""}} 3
outbound_http_route_request_statuses_total{{{PARENT},hostname="",http_status="200",error=""}} 245
outbound_http_route_request_statuses_total{{{PARENT},hostname="",http_status="",error="REQUEST_TIMEOUT"}} 4
outbound_http_route_retry_requests_total{{{PARENT},hostname=""}} 98
outbound_http_route_backend_response_statuses_total{{{PARENT},backend_name="books",http_status="500",error="UNKNOWN"}} 104
outbound_http_route_backend_response_statuses_total{{{PARENT},backend_name="books",http_status="200",error=""}} 245
outbound_http_route_request_duration_seconds_bucket{{{PARENT},hostname="",le="0.05"}} 200
outbound_http_route_request_duration_seconds_bucket{{{PARENT},hostname="",le="0.5"}} 258
outbound_http_route_request_duration_seconds_bucket{{{PARENT},hostname="",le="+Inf"}} 258
outbound_http_route_request_statuses_total{{{PARENT.replace("books", "other")},http_status="200",error=""}} 1
""",
        to="books",
    )
    (route,) = found.values()
    assert (route.route, route.service, route.kind) == ("books-flaky", "books.shop.svc:8080", "HTTPRoute")
    assert (route.success, route.failure, route.timeouts, route.retries) == (245, 13, 4, 98)
    assert (route.actual_success, route.actual_failure) == (245, 104)
    assert route.p50 == pytest.approx(32.25)


def test_grpc_route_outbound() -> None:
    grpc = PARENT.replace("HTTPRoute", "GRPCRoute")
    (route,) = routes(
        f"""
outbound_grpc_route_request_statuses_total{{{grpc},grpc_status="OK",error=""}} 9
outbound_grpc_route_request_statuses_total{{{grpc},grpc_status="NOT_FOUND",error=""}} 2
outbound_grpc_route_request_statuses_total{{{grpc},grpc_status="UNAVAILABLE",error=""}} 1
""",
        to="books.shop",
    ).values()
    assert (route.kind, route.success, route.failure) == ("GRPCRoute", 11, 1)


def test_inbound_without_profile() -> None:
    legacy = 'direction="inbound",target_port="8080",route_kind="default",route_name="default"'
    found = routes(f"""
inbound_http_statuses_total{{{SERVER},route_kind="default",route_name="default",status="200"}} 625
inbound_http_statuses_total{{{SERVER},route_kind="default",route_name="default",status="500"}} 106
inbound_http_statuses_total{{{SERVER},route_kind="default",route_name="probe",status="200"}} 152
inbound_http_statuses_total{{{SERVER.replace("8080", "4191")},route_kind="default",route_name="default",status="200"}} 9
inbound_http_request_duration_seconds_bucket{{{SERVER},route_kind="default",route_name="default",le="0.1"}} 700
inbound_http_request_duration_seconds_bucket{{{SERVER},route_kind="default",route_name="default",le="+Inf"}} 731
inbound_http_response_frame_size_bytes_sum{{{SERVER},route_kind="default",route_name="default"}} 1918.0
response_latency_ms_bucket{{{legacy},status_code="200",le="1"}} 731
response_latency_ms_bucket{{{legacy},status_code="200",le="+Inf"}} 731
response_total{{{legacy},{OK}}} 625
""")
    assert set(found) == {DEFAULT, "[PROBE]"}
    route = found[DEFAULT]
    assert (route.success, route.failure, route.response_bytes) == (625, 106, 1918)
    assert route.p99 == pytest.approx(0.99)


def test_old_proxies() -> None:
    labels = 'direction="inbound",target_port="8080",tls="true"'
    (route,) = routes(f"""
response_total{{{labels},{OK}}} 5
response_total{{{labels},{BAD}}} 1
response_total{{{labels.replace("8080", "4191")},{OK}}} 100
response_latency_ms_bucket{{{labels},{OK},le="1"}} 6
response_latency_ms_bucket{{{labels},{OK},le="+Inf"}} 6
""").values()
    assert (route.route, route.service, route.success, route.failure) == (DEFAULT, ":8080", 5, 1)
    (route,) = routes(
        f'response_total{{direction="outbound",authority="books.shop.svc.cluster.local:80",{OK}}} 5', to="books"
    ).values()
    assert (route.service, route.success) == ("books.shop.svc.cluster.local:80", 5)


def test_growth_between_scrapes() -> None:
    def text(first: int, second: int) -> str:
        return f"""
route_response_total{{direction="inbound",{FLAKY},{OK}}} {first}
route_response_total{{direction="inbound",{FLAKY},{BAD}}} {second}
"""

    (route,) = routes(text(30, 3), before=text(20, 5)).values()
    assert (route.success, route.failure) == (10, 3)  # the second began anew


def test_connections() -> None:
    text = """
tcp_open_connections{direction="inbound",peer="src",target_port="8080"} 3
tcp_open_connections{direction="inbound",peer="src",target_port="4191"} 1
tcp_open_connections{direction="inbound",peer="dst",target_port="8080"} 2
tcp_open_connections{direction="outbound",peer="dst",target_port="80"} 5
"""
    found = list(samples(text, linkerd.NAMES))
    assert (linkerd.connections_of(found, "inbound"), linkerd.connections_of(found, "outbound")) == (3, 5)
