"""Whether proxies took a change: by what a Linkerd proxy counted (lines of a recorded one), by what an Envoy shows."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.mesh.exposition import Sample, samples
from interceptor.mesh.profile.edit import Wanted, edit
from interceptor.mesh.profile.proof import SIGNS, Asked, asked_of, by_config, by_counters, calls, knows
from interceptor.mesh.sources.model import Query
from tests.mesh.profile.objects import BOOKS, FLAKY, found, match, profile, route

WEB, BOOKS_SVC = Query("shop", "Service", "web", 30, "web"), Query("shop", "Service", "books", 30, "books")
DST = 'direction="outbound",dst="web.shop.svc.cluster.local:8080"'
PARENT = 'parent_group="core",parent_kind="Service",parent_namespace="shop",parent_name="books",parent_port="8080"'
PROFILE = f"""
route_request_total{{{DST},rt_route="GET /flaky"}} 214
route_request_total{{{DST},rt_route="GET /slow"}} 107
route_response_total{{{DST},rt_route="GET /slow",classification="failure",grpc_status="",error="timeout"}} 107
route_retryable_total{{{DST},rt_route="GET /books"}} 0
route_retryable_total{{{DST},rt_route="GET /flaky"}} 92
route_retryable_total{{{DST},rt_route="GET /flaky",skipped="no_budget"}} 3
"""
ROUTE = f"""
outbound_http_route_request_statuses_total{{{PARENT},route_name="books-slow",http_status="",error="REQUEST_TIMEOUT"}} 127
outbound_http_route_request_statuses_total{{{PARENT},route_name="books-rest",http_status="200",error=""}} 381
outbound_http_route_retry_requests_total{{{PARENT},route_name="books-flaky",hostname=""}} 98
"""


def asked(name: str, **wishes: Any) -> Asked:
    return Asked(
        name, wishes.get("path", name), wishes.get("timeout"), wishes.get("retries"), None, bool(wishes.get("made"))
    )


@pytest.mark.parametrize(
    ("query", "text", "wanted", "told"),
    [
        (WEB, PROFILE, asked("GET /slow", timeout=0.3), "it ends what takes too long"),
        (WEB, PROFILE, asked("GET /flaky", retries=True), "it retries"),
        (WEB, PROFILE, asked("GET /books", retries=True), ""),
        (WEB, PROFILE, asked("GET /flaky", timeout=0.3), ""),
        (WEB, PROFILE, asked("GET /flaky", made=True, timeout=9.0), "it counts the route by its name"),
        (BOOKS_SVC, ROUTE, asked("books-slow", timeout=0.3), "it ends what takes too long"),
        (BOOKS_SVC, ROUTE, asked("books-flaky", retries=True), "it retries"),
        (BOOKS_SVC, ROUTE, asked("books-rest", timeout=0.3), ""),
        (WEB, ROUTE, asked("books-slow", timeout=0.3), ""),
    ],
)
def test_linkerds_counters(query: Query, text: str, wanted: Asked, told: str) -> None:
    assert by_counters(wanted, query, [], list(samples(text, SIGNS))) == told


def test_what_was_counted_before_proves_nothing() -> None:
    before = list(samples(PROFILE, SIGNS))
    for wanted in (asked("GET /slow", timeout=0.3), asked("GET /flaky", retries=True, made=True)):
        assert not by_counters(wanted, WEB, before, before)


def test_callers_are_told() -> None:
    assert calls(WEB, samples(PROFILE, SIGNS))
    assert not calls(BOOKS_SVC, samples(PROFILE, SIGNS))
    assert calls(BOOKS_SVC, samples(ROUTE, SIGNS))


def test_envoys_that_call_are_told() -> None:
    """By a short name only from the same namespace: elsewhere it is another service."""

    def counted(cluster: str) -> list[Sample]:
        text = f'envoy_cluster_upstream_rq{{envoy_cluster_name="{cluster}"}} 3'
        return list(samples(text, {"envoy_cluster_upstream_rq"}))

    assert knows(BOOKS_SVC, counted("books"), at_home=True)
    assert not knows(BOOKS_SVC, counted("books"), at_home=False)
    assert knows(BOOKS_SVC, counted("outbound|80||books.shop.svc.cluster.local"), at_home=False)
    assert not knows(BOOKS_SVC, counted("xds_cluster"), at_home=True)


def dump(name: str = "", timeout: str = "0.300s", retries: int = 0, **match: Any) -> dict[str, Any]:
    action: dict[str, Any] = {"cluster": "books", "timeout": timeout}
    if retries:
        action["retry_policy"] = {"retry_on": "5xx", "num_retries": retries}
    hosts = [
        {
            "name": "b",
            "domains": ["books.shop.svc.cluster.local"],
            "routes": [{"name": name, "match": match, "route": action}],
        }
    ]
    configs = [{"@type": "RoutesConfigDump", "dynamic_route_configs": [{"route_config": {"virtual_hosts": hosts}}]}]
    return {"configs": configs}


def test_envoys_configuration() -> None:
    slow = asked("books-slow", path="GET /slow/{id}", timeout=0.3)
    assert by_config(slow, BOOKS_SVC, dump("books-slow")) is True
    assert by_config(slow, BOOKS_SVC, dump(safe_regex={"regex": "/slow/[^/]*"})) is True
    assert by_config(slow, BOOKS_SVC, dump("books-slow", timeout="15s")) is False
    assert by_config(slow, BOOKS_SVC, dump("other", prefix="/")) is None
    assert by_config(slow, WEB, dump("books-slow")) is None
    again = Asked("books-slow", "/slow", None, True, 3, False)
    assert by_config(again, BOOKS_SVC, dump("books-slow", retries=3)) is True
    assert by_config(again, BOOKS_SVC, dump("books-slow", retries=2)) is False
    assert (
        by_config(Asked("books-slow", "/slow", 0.7, False, None, False), BOOKS_SVC, dump("books-slow", "0.7s")) is True
    )


def test_what_is_asked_is_read_from_the_change() -> None:
    made = asked_of(edit(found(profile(BOOKS, FLAKY)), Wanted("GET /books/{id}", 0.3, 2)))
    assert (made.timeout, made.retries, made.number, made.made) == (0.3, True, None, False)
    made = asked_of(edit(found(None, route("books-get", match("/books"))), Wanted("books-get", None, 2)))
    assert (made.timeout, made.retries, made.number) == (None, True, 2)
