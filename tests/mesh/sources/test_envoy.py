"""Figures from what Envoys expose, Istio's and plain ones."""

from __future__ import annotations

from interceptor.mesh.exposition import samples
from interceptor.mesh.sources import envoy
from interceptor.mesh.sources.deltas import growth
from interceptor.mesh.sources.model import DEFAULT, Query, Route


def routes(text: str, to: str = "") -> list[Route]:
    return envoy.routes_of(growth(None, samples(text, envoy.NAMES)), Query("shop", "Deployment", "x", 30, to))


def test_istio() -> None:
    labels = 'reporter="destination",destination_service="web.shop.svc.cluster.local"'
    (route,) = routes(f"""
istio_requests_total{{{labels},response_code="200",grpc_response_status=""}} 8
istio_requests_total{{{labels},response_code="504",response_flags="UT"}} 1
istio_requests_total{{{labels},response_code="200",grpc_response_status="14"}} 1
istio_request_duration_milliseconds_bucket{{{labels},le="1"}} 5
istio_request_duration_milliseconds_bucket{{{labels},le="5"}} 10
istio_request_duration_milliseconds_bucket{{{labels},le="+Inf"}} 10
istio_response_bytes_sum{{{labels}}} 1000
istio_requests_total{{{labels.replace("destination", "source", 1)},response_code="200"}} 50
""")
    assert (route.service, route.success, route.failure, route.timeouts) == ("web.shop.svc.cluster.local", 8, 2, 1)
    assert (route.p50, route.response_bytes) == (1.0, 1000)


def test_clusters() -> None:
    text = """
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="books"} 7
envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="books"} 3
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="books",le="1"} 5
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="books",le="5"} 10
envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="books",le="+Inf"} 10
envoy_cluster_upstream_rq_retry{envoy_cluster_name="books"} 2
envoy_cluster_upstream_rq_timeout{envoy_cluster_name="books"} 1
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="other"} 7
"""
    (route,) = routes(text, "books")
    assert (route.route, route.success, route.failure, route.retries, route.timeouts) == (DEFAULT, 7, 3, 2, 1)
    assert route.p95 == 4.6
    assert len(routes(text)) == 2


def test_virtual_clusters_are_routes() -> None:
    found = routes("""
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="books"} 10
envoy_vhost_vcluster_upstream_rq{envoy_response_code="200",envoy_virtual_host="books",envoy_virtual_cluster="list"} 7
envoy_vhost_vcluster_upstream_rq{envoy_response_code="200",envoy_virtual_host="books",envoy_virtual_cluster="other"} 3
""")
    assert {route.route: route.success for route in found} == {"list": 7, DEFAULT: 3}
