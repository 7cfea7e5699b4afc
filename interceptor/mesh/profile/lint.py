"""What in a Service's routes the proxies ignore or drop without a word; `session.profile` tells it beside `profile show`.

Linkerd gives none of these a status: an annotation that can't be read is a line in its controller's log, a pattern that is no
regular expression a route that never matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from interceptor.errors import UsageError
from interceptor.mesh.named_read import PROFILES
from interceptor.mesh.profile.read import InForce
from interceptor.mesh.profile.rows import RETRY, TIMEOUT, title_of
from interceptor.mesh.profile.units import answers, seconds_of

Object = dict[str, Any]

_ANNOTATED = re.compile(r"0|\d+(ms|s|m|h|d)")  # one whole number: what Linkerd takes in an annotation
_GATEWAY = re.compile(r"(?:\d{1,5}(?:h|m|s|ms)){1,4}")  # what the Gateway API takes in a rule


def lint(found: InForce) -> Iterator[str]:
    """One sentence for each."""
    yield from _annotations(found.title, found.service)
    for resource, item in found.routes:
        title = title_of(resource, item)
        yield from _annotations(title, item, grpc=resource.kind == "GRPCRoute")
        for rule in (item.get("spec") or {}).get("rules") or []:
            for name, value in (rule.get("timeouts") or {}).items():
                if not _GATEWAY.fullmatch(str(value)):
                    yield f"{title}: timeouts.{name} {value!r} is no duration, and ignored"
            for match in rule.get("matches") or []:
                path = match.get("path") if isinstance(match.get("path"), dict) else {}
                if path and path.get("type") == "RegularExpression":
                    yield from _pattern(title, str(path.get("value", "")))
    if found.profile is not None:
        yield from _profile(title_of(PROFILES, found.profile), found.profile.get("spec") or {})


def _annotations(title: str, item: Object, *, grpc: bool = False) -> Iterator[str]:
    for key, value in (item["metadata"].get("annotations") or {}).items():
        if (key.startswith(TIMEOUT) or key == f"{RETRY}timeout") and not _ANNOTATED.fullmatch(str(value)):
            yield f"{title}: {key} {value!r} is ignored: it takes one whole number and one unit, as 1500ms"
        elif key in (f"{RETRY}http", f"{RETRY}grpc"):
            try:
                if answers(str(value), grpc=grpc or key.endswith("grpc")) != value:
                    yield f"{title}: {key} {value!r} is ignored: it takes no spaces"
            except UsageError as error:
                yield f"{title}: {key} {value!r} is ignored: {error.message}"
        elif key == f"{RETRY}limit" and not str(value).isdigit():
            yield f"{title}: {key} {value!r} is ignored: it is no number"


def _profile(title: str, spec: Object) -> Iterator[str]:
    seen: set[str] = set()
    for route in spec.get("routes") or []:
        name = str(route.get("name", ""))
        if name in seen:
            yield f"{title}: two routes are called {name!r}, and counted as one"
        seen.add(name)
        if route.get("timeout") and seconds_of(route["timeout"]) is None:
            yield f"{title}: route {name!r} has timeout {route['timeout']!r}, which is none"
        pattern = (route.get("condition") or {}).get("pathRegex")
        if pattern is not None:
            yield from _pattern(f"{title}: route {name!r}", str(pattern))


def _pattern(title: str, pattern: str) -> Iterator[str]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"{title}: {pattern!r} is no regular expression ({error}); the proxies drop it without a word"
    else:
        if re.search(r"\(\?[=!<]|\\[1-9]", pattern):
            yield f"{title}: {pattern!r} looks around or back, which the proxies' expressions can't: they drop it"
