"""Who is let through a filter."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.errors import UsageError
from interceptor.http.exchange import CALLER, Exchange
from interceptor.mesh.traffic.filters import Filter

TRACED = b"\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def exchange(**fields: object) -> Exchange:
    one = Exchange()
    one.method, one.path, one.status = "GET", "/books/1", 200
    one.request_fields = b"\r\nHost: a\r\nX-User: ana\r\nX-User: bob" + TRACED
    for name, value in fields.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({}, True),
        ({"methods": ["get"]}, True),
        ({"methods": ["POST", "PUT"]}, False),
        ({"paths": ["/books"]}, True),
        ({"paths": ["/ooks"]}, False),
        ({"paths": ["*/1"]}, True),
        ({"paths": ["/a", "/books/*"]}, True),
        ({"headers": [["X-User", "bob"]]}, True),
        ({"headers": [["x-user", "b*"]]}, True),
        ({"headers": [["x-user", "b*"], ["host", "b"]]}, False),
        ({"traces": ["4bf9"]}, True),
        ({"traces": ["00f0", "4bf92f3577b34da6a3ce929d0e0e4736"]}, True),
        ({"traces": ["bf9"]}, False),
    ],
)
def test_requests(wanted: dict[str, Any], passes: bool) -> None:
    assert Filter.from_json(wanted).begun(exchange()) is passes
    assert Filter.from_json(Filter.from_json(wanted).to_json()).begun(exchange()) is passes


@pytest.mark.parametrize(
    ("statuses", "status", "cancelled", "passes"),
    [
        (["5xx"], 503, "", True),
        (["5xx"], 404, "", False),
        (["404", "500-503"], 404, "", True),
        (["500-503"], 504, "", False),
        (["error"], 500, "", True),
        (["error"], 200, CALLER, True),
        (["error"], 404, "", False),
    ],
)
def test_outcomes(statuses: list[str], status: int, cancelled: str, passes: bool) -> None:
    wanted = Filter.from_json({"statuses": statuses})
    assert wanted.ended(exchange(status=status, cancelled=cancelled)) is passes
    assert not wanted.wants_open


def test_latency() -> None:
    wanted = Filter(min_latency=0.2)
    assert wanted.ended(exchange(began=1.0, answered=1.3))
    assert not wanted.ended(exchange(began=1.0, answered=1.1, ended=9.0))
    assert wanted.ended(exchange(began=1.0, ended=9.0))


@pytest.mark.parametrize("statuses", [["6xx"], ["abc"], ["99"], [""]])
def test_no_status(statuses: list[str]) -> None:
    with pytest.raises(UsageError, match="is not a status"):
        Filter.from_json({"statuses": statuses})


def test_no_filter() -> None:
    with pytest.raises(UsageError, match="not a filter"):
        Filter.from_json({"headers": ["a"]})
