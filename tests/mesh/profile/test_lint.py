"""What proxies ignore without a word is told."""

from __future__ import annotations

import pytest

from interceptor.mesh.profile.lint import lint
from tests.mesh.profile.objects import BOOKS, found, match, named, profile, route, service


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("timeout.linkerd.io/request", "1.5s", "one whole number and one unit"),
        ("timeout.linkerd.io/idle", "5", "one whole number and one unit"),
        ("retry.linkerd.io/http", "5xx, 503", "it takes no spaces"),
        ("retry.linkerd.io/http", "6xx", "'6xx' is nothing that can be retried"),
        ("retry.linkerd.io/limit", "two", "it is no number"),
    ],
)
def test_annotation_that_is_ignored(key: str, value: str, told: str) -> None:
    (on_service,) = lint(found(of=service(**{key: value})))
    (on_route,) = lint(found(None, route("a", match("/a"), annotations={key: value})))
    assert on_service.startswith("svc/web:")
    assert told in on_service
    assert on_route.startswith("httproute/a:")


def test_profile_that_is_dropped_in_part() -> None:
    twice = named("GET /books/{id}", "/b", timeout="soon")
    told = list(lint(found(profile(BOOKS, twice, named("bad", "/("), named("back", r"/(a)\1")))))
    assert [any(word in line for line in told) for word in ("two routes", "'soon'", "no regular", "looks around")] == [
        True
    ] * 4


def test_good_ones_are_silent() -> None:
    good = route(
        "a", match("/a"), annotations={"timeout.linkerd.io/request": "1500ms", "retry.linkerd.io/http": "5xx,503"}
    )
    good[1]["spec"]["rules"][0]["timeouts"] = {"request": "1h30m"}
    assert not list(lint(found(profile(BOOKS), good)))
