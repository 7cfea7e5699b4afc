"""One record of three events, as other taps show it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from interceptor.http.exchange import Exchange
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.record import INBOUND, record_of
from interceptor.mesh.viztap import joined
from interceptor.mesh.viztap.joined import Joined, Limit
from interceptor.mesh.viztap.messages import RequestInit, ResponseEnd, TapEvent, read
from tests.mesh.viztap.golden import GOLDEN

WALL = 1_700_000_000.0


def event(name: str) -> TapEvent:
    found = read(GOLDEN[name].data)
    assert isinstance(found, TapEvent)
    return found


def told(*names: str, wanted: Filter | None = None, secrets: bool = False) -> dict[str, Any]:
    """The record of the last event, a second between each."""
    one = Joined(wanted or Filter(), WALL, secrets=secrets)
    records = [one.event(event(name), float(at)) for at, name in enumerate(names)]
    assert records[:-1] == [None] * (len(names) - 1)
    assert records[-1] is not None
    return records[-1]


HTTP = ("http1 request", "http1 answer", "http1 end")
GRPC = ("grpc request", "grpc answer", "grpc end")


def test_http_request() -> None:
    record = told(*HTTP)
    assert record["time"] == "2023-11-14T22:13:20.000000+00:00"
    assert (record["latency_ms"], record["duration_ms"]) == (12.346, 1020.0)
    assert (record["id"], record["stage"], record["direction"], record["protocol"]) == (
        1,
        "ended",
        "inbound",
        "HTTP/1.1",
    )
    assert (record["pod"], record["port"], record["peer"]) == ("books-59c7-4q", 8080, "10.42.0.7:41234")
    assert (record["method"], record["authority"], record["path"]) == ("GET", "books.shop:8080", "/books/17")
    assert (record["status"], record["failed"]) == (503, True)
    assert (record["request_size"], record["response_size"]) == (0, 1337)
    assert record["caller"] == {"pod": "web-6b8f-x7", "namespace": "shop", "workload": "deploy/web"}
    assert record["caller_id"] == "web.shop.serviceaccount.identity.linkerd.cluster.local"
    assert (record["source"], record["tls"]) == ("linkerd-viz", True)
    assert record["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_credentials_are_masked() -> None:
    assert ["authorization", "Bearer ***"] in told(*HTTP)["request_headers"]
    assert ["authorization", "Bearer abc"] in told(*HTTP, secrets=True)["request_headers"]


def test_grpc_request() -> None:
    record = told(*GRPC)
    assert (record["direction"], record["protocol"], record["path"]) == ("outbound", "HTTP/2", "/shop.Stock/Take")
    assert (record["pod"], record["peer"], record["port"]) == ("books-59c7-4q", "10.42.0.11", 50051)
    assert (record["grpc_status"], record["grpc_message"], record["failed"]) == (14, "no stock", True)
    assert (record["request_messages"], record["request_size"]) == (None, None)
    assert record["route"] == "POST /shop.Stock/Take"
    assert record["response_trailers"][0] == ["grpc-status", "14"]
    assert not [name for name, _ in record["request_headers"] if name[:1] == ":"]
    assert "caller" not in record
    assert record["tls"] is True


def test_same_shape_as_other_taps() -> None:
    class Place:
        direction, pod, peer, port = INBOUND, "p", "a:1", 1

    other = record_of(Exchange(), Place(), 1, 0.0, stage="ended", secrets=False)
    assert set(other) <= set(told(*HTTP))


def test_query_comes_from_http2s_path() -> None:
    asked = event("grpc request")
    assert isinstance(asked.what, RequestInit)
    headers = [(":path", "/a?token=x&b=1"), (":method", "GET")]
    one = Joined(Filter(), WALL)
    one.event(replace(asked, what=replace(asked.what, path="/a", method="GET", headers=headers)), 0.0)
    record = one.event(event("grpc end"), 1.0)
    assert record is not None
    assert record["path"] == "/a?token=***&b=1"
    assert record["request_size"] == 0


def test_end_without_an_answer_has_failed() -> None:
    record = told("ipv6 request with a method of its own", "reset without an answer")
    assert (record["status"], record["failed"], record["cancelled"], record["reset_code"]) == (0, True, "a reset", 8)
    assert (record["latency_ms"], record["duration_ms"]) == (None, 30000.0)
    assert (record["peer"], record["tls"], record["protocol"]) == ("[fd00::1c]:65535", False, "HTTP")
    assert record["request_size"] is None


def test_lost_head_is_no_failure() -> None:
    record = told("http1 request", "http1 end")
    assert (record["status"], record["failed"], record["unreadable"]) == (0, False, joined.LOST_HEAD)
    assert record["latency_ms"] == 12.346


def test_what_began_before_is_left_out() -> None:
    one = Joined(Filter(), WALL)
    assert one.event(event("http1 answer"), 0.0) is None
    assert one.event(event("http1 end"), 0.0) is None
    assert one.event(event("no http"), 0.0) is None


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Filter(methods=("GET",)), True),
        (Filter(methods=("POST",)), False),
        (Filter(paths=("/books/*",)), True),
        (Filter(paths=("/authors",)), False),
        (Filter(statuses=("5xx",)), True),
        (Filter(statuses=("200",)), False),
        (Filter(headers=(("host", "books*"),)), True),
        (Filter(min_latency=0.012), True),
        (Filter(min_latency=0.013), False),
        (Filter(direction="outbound"), False),
        (Filter(traces=("4bf92f",)), True),
    ],
)
def test_filters(wanted: Filter, shown: bool) -> None:
    one = Joined(wanted, WALL)
    records = [one.event(event(name), 0.0) for name in HTTP]
    assert (records[-1] is not None) is shown


def test_long_requests_are_shown_open_once() -> None:
    one = Joined(Filter(), WALL)
    one.event(event("http1 request"), 10.0)
    assert one.long_open(11.0) == []
    (record,) = one.long_open(12.5)
    assert (record["stage"], record["id"], record["duration_ms"]) == ("open", 0, None)
    assert one.long_open(13.0) == []
    assert Joined(Filter(statuses=("5xx",)), WALL).long_open(99.0) == []
    assert one.event(event("http1 end"), 14.0) is not None


def test_break_off_says_so() -> None:
    one = Joined(Filter(), WALL)
    one.event(event("http1 request"), 10.0)
    (record,) = one.break_off(12.0)
    assert (record["unreadable"], record["failed"], record["duration_ms"]) == (joined.BROKE_OFF, False, 2000.0)
    assert one.break_off(13.0) == []


def test_open_requests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "MOST_UNDER_WAY", 2)
    one, asked = Joined(Filter(), WALL), event("http1 request")
    for stream in range(5):
        one.event(replace(asked, stream=stream), float(stream))
    assert (one.forgotten, len(one.break_off(9.0))) == (3, 2)


def test_limit_of_a_pod() -> None:
    limit = Limit(3)
    assert [limit.reached("a", now) for now in (0.0, 0.4, 0.8, 2.0, 2.1)] == [False, False, True, False, False]
    assert not limit.reached("b", 0.0)
    assert [limit.reached("c", now) for now in (0.0, 0.5, 1.0)] == [False, False, False]


def test_end_knows_its_request() -> None:
    """Another tap of the same proxy counts its own requests."""
    one = Joined(Filter(), WALL)
    one.event(event("http1 request"), 0.0)
    other = replace(event("http1 end"), base=4)
    assert isinstance(other.what, ResponseEnd)
    assert one.event(other, 1.0) is None
    assert one.event(event("http1 end"), 1.0) is not None
