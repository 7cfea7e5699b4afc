"""A Service with a ServiceProfile and HTTPRoutes, for tests of this folder."""

from __future__ import annotations

from typing import Any

from interceptor.kube.resources import GRPC_ROUTES, HTTP_ROUTES, Resource
from interceptor.mesh.profile.read import InForce

Object = dict[str, Any]


def service(name: str = "web", **annotations: str) -> Object:
    metadata = {"name": name, "annotations": annotations}
    return {"metadata": metadata, "spec": {"ports": [{"port": 80}]}}


def profile(*routes: Object, **spec: Any) -> Object:
    metadata = {"name": "web.shop.svc.cluster.local", "namespace": "shop", "resourceVersion": "7"}
    return {
        "apiVersion": "linkerd.io/v1alpha2",
        "kind": "ServiceProfile",
        "metadata": metadata,
        "spec": {"routes": list(routes), **spec},
    }


def named(name: str, regex: str, **more: Any) -> Object:
    return {"name": name, "condition": {"method": "GET", "pathRegex": regex}, **more}


BOOKS = named("GET /books/{id}", "/books/[^/]*")
FLAKY = named("GET /flaky", "/flaky", isRetryable=True)


def match(path: str, kind: str = "Exact", method: str = "GET") -> Object:
    return {"path": {"type": kind, "value": path}, "method": method}


def route(
    name: str,
    *matches: Object,
    resource: Resource = HTTP_ROUTES,
    rules: list[Object] | None = None,
    annotations: dict[str, str] | None = None,
) -> tuple[Resource, Object]:
    metadata = {"name": name, "namespace": "shop", "resourceVersion": "3"}
    item = {
        "apiVersion": resource.group_version,
        "kind": resource.kind,
        "metadata": metadata | ({"annotations": annotations} if annotations else {}),
        "spec": {"parentRefs": [{"kind": "Service", "name": "web"}], "rules": rules or [{"matches": list(matches)}]},
    }
    return resource, item


GRPC = route("orders-get", {"method": {"service": "shop.Orders", "method": "Get"}}, resource=GRPC_ROUTES)


def found(profile: Object | None = None, *routes: tuple[Resource, Object], of: Object | None = None) -> InForce:
    return InForce("shop", of or service(), "cluster.local", profile, list(routes))
