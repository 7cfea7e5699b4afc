"""Which requests a rule takes."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.mesh.check.workload.routing import Match, Route


def path(value: str, kind: str = "PathPrefix", **more: Any) -> Match:
    return Match({"path": {"type": kind, "value": value}, **more})


@pytest.mark.parametrize(
    ("match", "asked", "taken"),
    [
        (Match({}), "/any", True),
        (path("/"), "/any", True),
        (path("/api"), "/api", True),
        (path("/api"), "/api/x?y=1", True),
        (path("/api/"), "/api/x", True),
        (path("/api"), "/apis", False),
        (path("/api", "Exact"), "/api/x", False),
        (path("/b/[0-9]+", "RegularExpression"), "/b/12", True),
        (path("/b/[0-9]+", "RegularExpression"), "/b/12/x", False),
        (path("/(", "RegularExpression"), "/(", False),
        (path("/", method="POST"), "/", False),
        (path("/", headers=[{"name": "x", "value": "y"}]), "/", False),
    ],
)
def test_takes(match: Match, asked: str, taken: bool) -> None:
    assert match.takes("GET", asked) is taken


@pytest.mark.parametrize(
    ("match", "all_of_them"),
    [
        (Match({}), True),
        (path("/"), True),
        (path("/", "Exact"), False),
        (path("/", method="GET"), False),
        (path("/a"), False),
    ],
)
def test_catch_all(match: Match, all_of_them: bool) -> None:
    assert match.everything is all_of_them


def test_rule_without_matches_takes_all() -> None:
    route = Route({"metadata": {"name": "x"}, "spec": {"rules": [{"backendRefs": [{"name": "a"}]}]}}, "", frozenset())
    assert [match.everything for match in route.matches] == [True]
    assert list(route.backends("shop")) == ["a"]
    assert route.covers_port(1)
    assert not Route(route.raw, "", frozenset({80})).covers_port(81)
