"""OpenAPI, Swagger and protobuf files as routes, and the routes as objects in the shape of Linkerd's own command."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from interceptor.errors import InterceptorError
from interceptor.kube.resources import HTTP_ROUTES, POLICY_HTTP_ROUTES
from interceptor.mesh.named import of_profile, of_routes
from interceptor.mesh.profile.build import NewRoute, http_routes, service_profile, slug, yaml_of
from interceptor.mesh.profile.openapi import read_openapi
from interceptor.mesh.profile.proto import read_proto
from interceptor.mesh.profile.template import regex_of

SWAGGER = """
swagger: "2.0"
basePath: /api/
paths:
  /books/{id}:
    get: {x-linkerd-retryable: true, x-linkerd-timeout: 1500ms, responses: {"200": {}, default: {}, "500": {}}}
    delete: {}
    parameters: []
  /authors.json/: {post: {responses: {404: {}}}}
  x-extra: {get: {}}
"""
PROTO = """
syntax = "proto3";
// service Commented { rpc No (A) returns (B); }
package shop.v1;
import "google/protobuf/empty.proto";
option go_package = "service { rpc }";
message Order { message Line { string rpc = 1; } repeated Line service = 1; }
service Orders {
  option deprecated = true;
  rpc Get (GetRequest) returns (Order) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Watch(stream WatchRequest) returns (stream Order);
  /* rpc Old (A) returns (B); */
  rpc Put (Order) returns (google.protobuf.Empty) { option (google.api.http) = { put: "/v1/orders" body: "*" }; }
}
"""


def test_swagger_in_linkerds_order() -> None:
    routes, notes = read_openapi(SWAGGER, "x.yaml")
    assert not notes
    assert [route.name for route in routes] == [
        "POST /api/authors.json/",
        "DELETE /api/books/{id}",
        "GET /api/books/{id}",
    ]
    assert (routes[0].regex, routes[2].regex) == (r"/api/authors\.json/", "/api/books/[^/]*")
    assert (routes[2].timeout, routes[2].retryable, routes[2].responses) == ("1500ms", True, (200, 500))


def test_openapi_as_json() -> None:
    document = {"openapi": "3.1.0", "servers": [{"url": "https://x/v1"}], "paths": {"/a": {"get": {}}}}
    routes, notes = read_openapi(json.dumps(document), "x.json")
    assert [route.path for route in routes] == ["/a"]
    assert "https://x/v1" in notes[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "no OpenAPI document"),
        ("paths: {", "neither JSON nor YAML"),
        ("openapi: 3.0.0", "has no paths"),
        ("paths: {/a: {}}", "no operations"),
        ("paths: {/a: {get: {x-linkerd-timeout: soon}}}", "GET /a: x-linkerd-timeout 'soon' is no time"),
        ("a: &a [1]\npaths: *a", "uses YAML aliases"),
    ],
)
def test_bad_document_is_told(text: str, told: str) -> None:
    with pytest.raises(InterceptorError, match=told):
        read_openapi(text, "x.yaml")


def test_proto_methods() -> None:
    routes = read_proto(PROTO, "orders.proto")
    assert [(route.name, route.regex, route.retryable) for route in routes] == [
        ("Get", r"/shop\.v1\.Orders/Get", True),
        ("Watch", r"/shop\.v1\.Orders/Watch", False),
        ("Put", r"/shop\.v1\.Orders/Put", False),
    ]


@pytest.mark.parametrize("text", ["", "message A {}", "service A { rpc B (C)", 'a = "unclosed'])
def test_bad_proto_is_told(text: str) -> None:
    with pytest.raises(InterceptorError, match=r"x\.proto"):
        read_proto(text, "x.proto")


def test_profile_has_linkerds_shape() -> None:
    routes, _ = read_openapi(SWAGGER, "x.yaml")
    assert (
        yaml_of([service_profile("web", "shop", "cluster.local", routes[1:])])
        == """\
apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata:
  name: web.shop.svc.cluster.local
  namespace: shop
spec:
  routes:
  - condition:
      method: DELETE
      pathRegex: /api/books/[^/]*
    name: DELETE /api/books/{id}
  - condition:
      method: GET
      pathRegex: /api/books/[^/]*
    isRetryable: true
    name: GET /api/books/{id}
    responseClasses:
    - condition:
        status:
          max: 200
          min: 200
    - condition:
        status:
          max: 500
          min: 500
      isFailure: true
    timeout: 1500ms
"""
    )


def test_routes_leave_nobody_out() -> None:
    """One object a route, since a proxy counts by object, and one for everything else, which would be 404 otherwise."""
    routes, _ = read_openapi(SWAGGER, "x.yaml")
    made = http_routes("web", "shop", [80], routes, HTTP_ROUTES)
    assert [item["metadata"]["name"] for item in made] == [
        "web-post-api-authors-json",
        "web-delete-api-books-id",
        "web-get-api-books-id",
        "web-others",
    ]
    assert made[2]["spec"]["rules"][0]["timeouts"] == {"request": "1500ms"}
    assert made[2]["metadata"]["annotations"] == {"retry.linkerd.io/http": "5xx"}
    assert made[0]["spec"]["rules"][0]["matches"][0]["path"] == {"type": "Exact", "value": "/api/authors.json/"}
    assert made[3]["spec"]["rules"][0]["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    core = http_routes("web", "shop", [80, 81], routes[:1], POLICY_HTTP_ROUTES)[0]["spec"]
    assert [parent["group"] for parent in core["parentRefs"]] == ["core", "core"]
    assert "backendRefs" not in core["rules"][0]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "Exact"),
        ("/caf%C3%A9/x.js", "Exact"),
        ("/a//b", "RegularExpression"),
        ("/a/../b", "RegularExpression"),
        ("/a/.", "RegularExpression"),
        ("/a/..b", "Exact"),
        ("/a%2Fb", "RegularExpression"),
        ("/[x]/y", "RegularExpression"),
        ("/50%", "RegularExpression"),
    ],
)
def test_odd_paths_are_patterns(path: str, kind: str) -> None:
    """The Gateway API refuses them word for word."""
    (made, _) = http_routes("web", "shop", [80], [NewRoute(f"GET {path}", "GET", path, regex_of(path))], HTTP_ROUTES)
    found = made["spec"]["rules"][0]["matches"][0]["path"]
    assert found["type"] == kind
    assert re.fullmatch(found["value"], path) or found["value"] == path


def test_names_stay_apart() -> None:
    long = [NewRoute(f"GET /{'x' * 80}/{end}", "GET", "/", "/") for end in "ab"]
    names = [item["metadata"]["name"] for item in http_routes("web", "shop", [80], long, HTTP_ROUTES)]
    assert len(set(names)) == 3
    assert all(len(name) <= 63 for name in names)
    assert slug("GET /") == "get"


def test_what_is_made_can_be_read() -> None:
    """By the same reader that names the routes of figures."""
    routes, _ = read_openapi(SWAGGER, "x.yaml")
    assert of_profile(yaml.safe_load(yaml_of([service_profile("web", "shop", "cluster.local", routes)])))
    assert of_routes(http_routes("web", "shop", [80], routes, HTTP_ROUTES))
