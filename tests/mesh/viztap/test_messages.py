"""Linkerd's messages, byte for byte as Go writes them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.mesh.traffic.record import INBOUND, OUTBOUND
from interceptor.mesh.viztap.messages import (
    LARGEST,
    Endpoint,
    Frames,
    RequestInit,
    ResponseEnd,
    ResponseInit,
    TapError,
    TapEvent,
    read,
    tap_request,
)
from interceptor.mesh.viztap.protobuf import Malformed, field
from tests.mesh.viztap.golden import EVENTS, GOLDEN, Golden, framed


def event(name: str) -> TapEvent:
    found = read(GOLDEN[name].data)
    assert isinstance(found, TapEvent)
    return found


@pytest.mark.parametrize("golden", EVENTS, ids=lambda golden: golden.name)
def test_says_what_go_says(golden: Golden) -> None:
    """What protojson writes of the same message."""
    found, told = event(golden.name), golden.json
    assert dict(found.source.labels) == told["sourceMeta"].get("labels", {})
    assert dict(found.destination.labels) == told["destinationMeta"].get("labels", {})
    assert dict(found.route) == told["routeMeta"].get("labels", {})
    assert found.direction.upper() == told["proxyDirection"]
    assert found.source.port == told["source"]["port"]
    http = told.get("http", {})
    for key, kind in (("requestInit", RequestInit), ("responseInit", ResponseInit), ("responseEnd", ResponseEnd)):
        assert isinstance(found.what, kind) is (key in http)
        if key in http:
            at = http[key]["id"]
            assert (found.base, found.stream) == (at.get("base", 0), int(at.get("stream", 0)))


def test_request() -> None:
    found = event("http1 request")
    assert (found.source.host, found.source.port) == ("10.42.0.7", 41234)
    assert (found.destination.host, found.destination.port, found.direction) == ("10.42.0.9", 8080, INBOUND)
    assert found.source.labels["deployment"] == "web"
    what = found.what
    assert isinstance(what, RequestInit)
    assert (what.method, what.scheme, what.authority, what.path) == ("GET", "http", "books.shop:8080", "/books/17")
    assert what.headers[1] == ("authorization", "Bearer abc")


def test_answer_and_end() -> None:
    answer, end = event("http1 answer").what, event("http1 end").what
    assert isinstance(answer, ResponseInit)
    assert (answer.since_request, answer.status) == (0.012345678, 503)
    assert end == ResponseEnd(1.02, 1.007654322, 1337, None, None, [])


def test_grpc_end() -> None:
    found = event("grpc end")
    assert (found.direction, dict(found.route)) == (OUTBOUND, {"route": "POST /shop.Stock/Take"})
    assert isinstance(found.what, ResponseEnd)
    assert (found.what.grpc_status, found.what.reset_code) == (14, None)
    assert found.what.trailers[2] == ("trace-bin", "\xff\x00\x80")


def test_ipv6_and_unusual_methods() -> None:
    found = event("ipv6 request with a method of its own")
    assert (found.source.host, found.source.port) == ("fd00::1c", 65535)
    assert found.destination == Endpoint("fd00::2", 80)
    assert (found.base, found.stream) == (2**32 - 1, 2**63)
    assert found.what == RequestInit("PURGE", "ws", "café.example", "/ü", [])


def test_reset_without_an_answer() -> None:
    assert event("reset without an answer").what == ResponseEnd(30.000000001, None, 0, None, 8, [])
    assert event("large answer").what == ResponseEnd(0.0, 0.0, 2**40, 0, None, [])


def test_error_in_an_events_place() -> None:
    found = read(GOLDEN["refused"].data)
    assert isinstance(found, TapError)
    assert found.text == GOLDEN["refused"].json["error"]


def test_asks_as_go_asks() -> None:
    assert tap_request("shop", "deployment", "books", method="", path="", rps=100) == GOLDEN["ask for all"].data
    assert (
        tap_request("shop", "pod", "books-59c7-4q", method="GET", path="/books/", rps=12.5)
        == GOLDEN["ask for some"].data
    )


@given(st.integers(1, 40))
def test_frames_in_pieces(size: int) -> None:
    sent = framed(*(one.name for one in EVENTS)) + b"\x00\x00\x00\x00"
    frames = Frames()
    found: list[bytes] = []
    for at in range(0, len(sent), size):
        found += frames.feed(sent[at : at + size])
    assert found == [*(one.data for one in EVENTS), b""]


def test_endless_frame_is_refused() -> None:
    with pytest.raises(Malformed, match="a message of"):
        list(Frames().feed((LARGEST + 1).to_bytes(4, "little")))


@settings(max_examples=50)
@given(st.sampled_from(EVENTS), st.data())
def test_spoilt_events_are_malformed_or_events(golden: Golden, data: st.DataObject) -> None:
    spoilt = bytearray(golden.data)
    for _ in range(data.draw(st.integers(1, 3))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(spoilt[: data.draw(st.integers(0, len(spoilt)))]))
    except Malformed:
        return


def test_durations_below_zero() -> None:
    minus = field(2, b"\x08" + b"\xff" * 9 + b"\x01")
    found = read(field(2, b"") + field(4, b"") + field(3, field(2, minus)))
    assert isinstance(found, TapEvent)
    assert found.what == ResponseInit(0.0, 0, [])
