"""Makes the ServiceProfile or the HTTPRoutes of a list of routes, in the shape that Linkerd's own command gives. Pure.

A ServiceProfile lets through what none of its routes matches. HTTPRoutes don't: without one for everything else, callers
get 404 from their own proxy. And a proxy counts an HTTPRoute as one, whatever its rules: so each route gets its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from interceptor.kube.resources import Resource
from interceptor.mesh.named_read import PROFILES
from interceptor.mesh.profile.template import is_template

Object = dict[str, Any]

_NAME_LIMIT = 63
# What the Gateway API takes as a path word for word; any other path has to be a pattern.
_EXACT = re.compile(r"(?!.*(?://|/\.{1,2}(?:/|$)|%2[fF]))/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*")


@dataclass(frozen=True)
class NewRoute:
    """One route to be. `regex` is of its whole path; `grpc` its service and method, where it is one."""

    name: str
    method: str
    path: str
    regex: str
    responses: tuple[int, ...] = ()
    retryable: bool = False
    timeout: str = ""
    grpc: tuple[str, str] | None = None


def service_profile(service: str, namespace: str, domain: str, routes: Sequence[NewRoute]) -> Object:
    """One object for all of them."""
    return {
        "apiVersion": PROFILES.group_version,
        "kind": PROFILES.kind,
        "metadata": {"name": f"{service}.{namespace}.svc.{domain}", "namespace": namespace},
        "spec": {"routes": [_profile_route(route) for route in routes]},
    }


def _profile_route(route: NewRoute) -> Object:
    made: Object = {"name": route.name, "condition": {"method": route.method, "pathRegex": route.regex}}
    if route.responses:
        made["responseClasses"] = [
            {"condition": {"status": {"min": code, "max": code}}} | ({"isFailure": True} if code >= 500 else {})
            for code in route.responses
        ]
    if route.retryable:
        made["isRetryable"] = True
    if route.timeout:
        made["timeout"] = route.timeout
    return made


def http_routes(
    service: str, namespace: str, ports: Sequence[int], routes: Sequence[NewRoute], resource: Resource
) -> list[Object]:
    """One object a route, and one for everything else; `resource` says of which API group."""
    taken: set[str] = set()
    made = [
        _http_route(_free(f"{service}-{slug(route.name)}", taken), service, namespace, ports, resource, route)
        for route in routes
    ]
    return [*made, _http_route(_free(f"{service}-others", taken), service, namespace, ports, resource, None)]


def _http_route(
    name: str, service: str, namespace: str, ports: Sequence[int], resource: Resource, route: NewRoute | None
) -> Object:
    group = "core" if resource.group == "policy.linkerd.io" else ""
    rule: Object = {}
    metadata: Object = {"name": name, "namespace": namespace}
    if route is None:
        rule["matches"] = [{"path": {"type": "PathPrefix", "value": "/"}}]
    else:
        whole = not is_template(route.path) and _EXACT.fullmatch(route.path)
        kind, value = ("Exact", route.path) if whole else ("RegularExpression", route.regex)
        rule["matches"] = [{"path": {"type": kind, "value": value}, "method": route.method}]
        if route.timeout:
            rule["timeouts"] = {"request": route.timeout}
        if route.retryable:
            metadata["annotations"] = {"retry.linkerd.io/http": "5xx"}
    if len(ports) == 1:  # of several, each request goes on to the port it came for
        rule["backendRefs"] = [{"name": service, "port": ports[0]}]
    parents = [{"group": group, "kind": "Service", "name": service, "port": port} for port in ports]
    return {
        "apiVersion": resource.group_version,
        "kind": resource.kind,
        "metadata": metadata,
        "spec": {"parentRefs": parents or [{"group": group, "kind": "Service", "name": service}], "rules": [rule]},
    }


def slug(name: str) -> str:
    """A route's name as part of an object's: `GET /books/{id}` is get-books-id."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "root"


def _free(name: str, taken: set[str]) -> str:
    if len(name) > _NAME_LIMIT or name in taken:
        mark = hashlib.sha256(f"{name} {len(taken)}".encode()).hexdigest()[:6]
        name = f"{name[: _NAME_LIMIT - 7].rstrip('-')}-{mark}"
    taken.add(name)
    return name


def yaml_of(objects: Sequence[Object]) -> str:
    """Documents for `kubectl apply -f -`, keys in order as Linkerd prints them."""
    return "---\n".join(
        yaml.safe_dump(one, sort_keys=True, default_flow_style=False, width=1_000_000, allow_unicode=True)
        for one in objects
    )
