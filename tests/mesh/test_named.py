"""Requests have the names that somebody gave to their routes."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.http.exchange import Exchange
from interceptor.mesh.named import of_profile, of_routes
from interceptor.mesh.traffic.counts import Traffic


def asked(method: str, path: str, *headers: tuple[str, str], grpc: bool = False) -> Exchange:
    exchange = Exchange()
    exchange.method, exchange.path, exchange.grpc, exchange.status = method, path, grpc, 200
    exchange.request_fields = list(headers)
    return exchange


def route(name: str, *matches: dict[str, Any], kind: str = "HTTPRoute") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, "spec": {"rules": [{"matches": list(matches)}]}}


PUT_B = {"all": [{"method": "PUT"}, {"pathRegex": "/b"}]}
PROFILE = {
    "spec": {
        "routes": [
            {"name": "GET /books/{id}", "condition": {"method": "GET", "pathRegex": "/books/[^/]*"}},
            {"name": "bad", "condition": {"pathRegex": "("}},
            {
                "name": "either",
                "condition": {"any": [{"pathRegex": "/a"}, PUT_B]},
            },
            {"name": "no reads", "condition": {"all": [{"pathRegex": "/c.*"}, {"not": {"method": "GET"}}]}},
        ]
    }
}


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/books/7?full=1", "GET /books/{id}"),
        ("GET", "/books/7/pages", None),
        ("POST", "/books/7", None),
        ("GET", "/a", "either"),
        ("PUT", "/b", "either"),
        ("GET", "/b", None),
        ("PUT", "/cat", "no reads"),
        ("GET", "/cat", None),
    ],
)
def test_profile(method: str, path: str, name: str | None) -> None:
    names = of_profile(PROFILE)
    assert names.name(asked(method, path)) == name
    assert names.name(asked(method, path)) == name


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/books", "books"),
        ("GET", "/books/7", "books"),
        ("GET", "/books/new", "exact"),
        ("PUT", "/books/7", "puts"),
        ("GET", "/bookshelf", "rest"),
        ("GET", "/v12", "regex"),
    ],
)
def test_http_routes(method: str, path: str, name: str) -> None:
    names = of_routes(
        [
            route("rest", {}),
            route("books", {"path": {"type": "PathPrefix", "value": "/books"}}),
            route("exact", {"path": {"type": "Exact", "value": "/books/new"}}),
            route("puts", {"path": {"value": "/books"}, "method": "PUT"}),
            route("regex", {"path": {"type": "RegularExpression", "value": "/v[0-9]+"}}),
        ]
    )
    assert names.name(asked(method, path)) == name
    assert names.kind == "HTTPRoute"


def test_headers_of_a_match() -> None:
    names = of_routes([route("beta", {"headers": [{"name": "X-Beta", "value": "1"}]}), route("rest", {})])
    assert names.name(asked("GET", "/", ("x-beta", "1"))) == "beta"
    assert names.name(asked("GET", "/", ("x-beta", "2"))) == "rest"


def test_grpc_routes() -> None:
    names = of_routes(
        [
            route("list", {"method": {"service": "shop.Books", "method": "List"}}, kind="GRPCRoute"),
            route("books", {"method": {"service": "shop.Books"}}, kind="GRPCRoute"),
        ]
    )
    assert names.name(asked("POST", "/shop.Books/List", grpc=True)) == "list"
    assert names.name(asked("POST", "/shop.Books/Get", grpc=True)) == "books"
    assert names.name(asked("POST", "/shop.Authors/Get", grpc=True)) is None


def test_counted_by_name() -> None:
    traffic = Traffic()
    traffic.names = of_profile(PROFILE)
    for number in range(60):
        traffic.add(asked("GET", f"/books/{number}x"), "inbound", 0.0)
        traffic.add(asked("GET", f"/books/{number}x/y"), "inbound", 0.0)
    assert {key[2]: counts.success for key, counts in traffic.total.items()} == {
        "GET /books/{id}": 60,
        "GET /books/{id}/y": 60,
    }
