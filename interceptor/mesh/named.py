"""Which named route a request belongs to: by ServiceProfile, HTTPRoute or GRPCRoute, as the mesh itself would say. Pure.

`mesh.named_read` reads them from the cluster, `traffic.counts` asks for each request. As in Linkerd, a Service with a
ServiceProfile has no other routes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from interceptor.http.exchange import Exchange

Object = dict[str, Any]
Test = Callable[[Exchange], bool]

MOST_REMEMBERED = 4096


class Names:
    """The named routes of a workload's Services, in the order they are tried."""

    def __init__(self, kind: str, routes: Sequence[tuple[str, Test]], *, by_headers: bool = False) -> None:
        self.kind = kind
        self._routes = routes
        self.by_headers = by_headers  # then equal paths may belong to different routes
        self._known: dict[tuple[str, str], str | None] = {}

    def __bool__(self) -> bool:
        return bool(self._routes)

    def name(self, exchange: Exchange) -> str | None:
        """The route's name; None where none matches."""
        if self.by_headers:
            return self._find(exchange)
        key = exchange.method, exchange.path
        if key not in self._known:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = self._find(exchange)
        return self._known[key]

    def _find(self, exchange: Exchange) -> str | None:
        return next((name for name, test in self._routes if test(exchange)), None)


def of_profile(profile: Object) -> Names:
    """The routes of a ServiceProfile: the first that matches; one with a regex we can't read is left out."""
    routes = []
    for route in (profile.get("spec") or {}).get("routes") or []:
        test = _condition(route.get("condition") or {})
        if test is not None and route.get("name"):
            routes.append((str(route["name"]), test))
    return Names("ServiceProfile", routes)


def of_routes(objects: Iterable[Object]) -> Names:
    """HTTPRoutes and GRPCRoutes: one name for all rules of an object, the most specific match first."""
    found: list[tuple[tuple[int, ...], str, Test]] = []
    by_headers = False
    kinds = set()
    for one in objects:
        kinds.add(one["kind"])
        for rule in (one.get("spec") or {}).get("rules") or []:
            for match in rule.get("matches") or [{}]:
                by_headers = by_headers or bool(match.get("headers"))
                made = _grpc_match(match) if one["kind"] == "GRPCRoute" else _http_match(match)
                if made is not None:
                    found.append((made[0], str(one["metadata"]["name"]), made[1]))
    found.sort(key=lambda item: item[0], reverse=True)
    return Names(" and ".join(sorted(kinds)), [(name, test) for _, name, test in found], by_headers=by_headers)


def _condition(condition: Object) -> Test | None:
    """A ServiceProfile's request match; None for one that can't be read."""
    tests: list[Test] = []
    if "pathRegex" in condition:
        try:
            path = re.compile(str(condition["pathRegex"]))
        except re.error:
            return None
        tests.append(lambda exchange: path.fullmatch(_path(exchange)) is not None)
    if "method" in condition:
        method = str(condition["method"]).upper()
        tests.append(lambda exchange: exchange.method == method)
    for word, combine in (("all", all), ("any", any)):
        if condition.get(word):
            inner = [_condition(one) for one in condition[word]]
            if None in inner:
                return None
            tests.append(_combined(combine, [one for one in inner if one is not None]))
    if condition.get("not"):
        negated = _condition(condition["not"])
        if negated is None:
            return None
        tests.append(lambda exchange: not negated(exchange))
    return _combined(all, tests)


def _combined(combine: Callable[[Iterable[bool]], bool], tests: Sequence[Test]) -> Test:
    return lambda exchange: combine(test(exchange) for test in tests)


def _http_match(match: Object) -> tuple[tuple[int, ...], Test] | None:
    """The rank of an HTTPRoute's match (Gateway API: exact path, longer prefix, method, headers, query) and its test."""
    path = match.get("path") or {"type": "PathPrefix", "value": "/"}
    kind, value = str(path.get("type") or "PathPrefix"), str(path.get("value") or "/")
    tests: list[Test] = []
    if kind == "Exact":
        tests.append(lambda exchange: _path(exchange) == value)
    elif kind == "RegularExpression":
        try:
            pattern = re.compile(value)
        except re.error:
            return None
        tests.append(lambda exchange: pattern.fullmatch(_path(exchange)) is not None)
    else:
        prefix = value.rstrip("/")
        tests.append(lambda exchange: _path(exchange) == prefix or _path(exchange).startswith(prefix + "/"))
    if match.get("method"):
        method = str(match["method"])
        tests.append(lambda exchange: exchange.method == method)
    headers, query = _headers(match), match.get("queryParams") or []
    if headers is None or query:
        return None  # rare; such a request then has its path's name
    rank = int(kind == "Exact"), len(value), int("method" in match), len(headers)
    return rank, _combined(all, [*tests, *headers])


def _grpc_match(match: Object) -> tuple[tuple[int, ...], Test] | None:
    method = match.get("method") or {}
    if method.get("type", "Exact") != "Exact":
        return None
    service, name = str(method.get("service") or ""), str(method.get("method") or "")
    headers = _headers(match)
    if headers is None:
        return None

    def test(exchange: Exchange) -> bool:
        asked_service, _, asked_name = exchange.path.lstrip("/").partition("/")
        return exchange.grpc and service in ("", asked_service) and name in ("", asked_name)

    return (1, len(service), len(name), len(headers)), _combined(all, [test, *headers])


def _headers(match: Object) -> list[Test] | None:
    tests: list[Test] = []
    for header in match.get("headers") or []:
        if header.get("type", "Exact") != "Exact":
            return None
        tests.append(_header(str(header["name"]).lower(), str(header["value"])))
    return tests


def _header(name: str, value: str) -> Test:
    return lambda exchange: (name, value) in exchange.request_headers


def _path(exchange: Exchange) -> str:
    return exchange.path.partition("?")[0]
