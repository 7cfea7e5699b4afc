"""What is told of HTTP/2 conversations that the reference implementation made."""

from __future__ import annotations

import pytest

from interceptor.http.exchange import CALLER, CONNECTION, MOST_HEAD, SERVER
from interceptor.http.http2 import PREFACE
from tests.http.pair import Pair, message, request_headers
from tests.http.seen import facts, pieces, watch

OK = [(":status", "200")]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def test_request_and_response() -> None:
    pair = Pair()
    pair.caller.send_headers(1, request_headers("POST", "/a", content_length="3"))
    pair.caller.send_data(1, b"abc", end_stream=True)
    pair.settle()
    pair.server.send_headers(1, [(":status", "103"), ("link", "x")])
    pair.server.send_headers(1, [*OK, ("x", "y")])
    pair.server.send_data(1, b"hello", pad_length=7)
    pair.server.send_headers(1, [("t", "1")], end_stream=True)
    pair.settle()
    seen = watch(pair.wire, keep=4, close=False)
    (exchange,) = seen.exchanges
    assert (exchange.protocol, exchange.method, exchange.path) == ("HTTP/2", "POST", "/a")
    assert (exchange.authority, exchange.scheme) == ("shop:80", "http")
    assert (exchange.status, exchange.request_size, exchange.response_size) == (200, 3, 5)
    assert exchange.interim == (103,)
    assert exchange.response_headers[1:] == [("x", "y")]
    assert exchange.response_trailers == [("t", "1")]
    assert [bytes(body or b"") for body in (exchange.request_body, exchange.response_body)] == [b"abc", b"hell"]
    assert not exchange.ambiguities
    assert len(seen.answers) == 1


def test_grpc() -> None:
    pair = Pair()
    pair.caller.send_headers(
        1, request_headers("POST", "/shop.Books/List", content_type="application/grpc", te="trailers")
    )
    pair.caller.send_data(1, message(b"a") + message(b""))
    pair.settle()
    pair.server.send_headers(1, [*OK, ("content-type", "application/grpc")])
    pair.server.send_data(1, message(b"x" * 300)[:7])
    pair.server.send_data(1, message(b"x" * 300)[7:])
    pair.settle()
    pair.caller.end_stream(1)
    pair.server.send_headers(1, [("grpc-status", "5"), ("grpc-message", "no book")], end_stream=True)
    pair.settle()
    (exchange,) = watch(pair.wire, close=False).exchanges
    assert exchange.grpc
    assert (exchange.grpc_status, exchange.grpc_message) == (5, "no book")
    assert (exchange.request_messages, exchange.response_messages) == (2, 1)


def test_grpc_without_messages() -> None:
    pair = Pair()
    pair.caller.send_headers(1, request_headers("POST", "/s/M", content_type="application/grpc+proto"), end_stream=True)
    pair.settle()
    pair.server.send_headers(1, [*OK, ("grpc-status", "12")], end_stream=True)
    pair.settle()
    (exchange,) = watch(pair.wire, close=False).exchanges
    assert (exchange.grpc_status, exchange.response_messages) == (12, 0)


@pytest.mark.parametrize("who", [CALLER, SERVER])
def test_cancelled_stream(who: str) -> None:
    pair = Pair()
    pair.caller.send_headers(1, request_headers())
    pair.settle()
    pair.server.send_headers(1, OK)
    pair.settle()
    (pair.caller if who is CALLER else pair.server).reset_stream(1, 8)
    pair.settle()
    (exchange,) = watch(pair.wire, close=False).exchanges
    assert (exchange.cancelled, exchange.reset_code, exchange.status) == (who, 8, 200)


def test_answer_before_the_body() -> None:
    pair = Pair()
    pair.caller.send_headers(1, request_headers("POST"))
    pair.settle()
    pair.server.send_headers(1, [(":status", "413")], end_stream=True)
    pair.server.reset_stream(1, 0)
    pair.settle()
    (exchange,) = watch(pair.wire, close=False).exchanges
    assert (exchange.cancelled, exchange.status) == ("", 413)


def test_push() -> None:
    pair = Pair()
    pair.caller.send_headers(1, request_headers(), end_stream=True)
    pair.settle()
    pair.server.push_stream(1, 2, request_headers(path="/style"))
    pair.server.send_headers(1, OK, end_stream=True)
    pair.server.send_headers(2, OK, end_stream=True)
    pair.settle()
    found = watch(pair.wire, close=False).exchanges
    assert [(one.path, one.pushed, one.status) for one in found] == [("/", False, 200), ("/style", True, 200)]


def test_head_has_no_body() -> None:
    pair = Pair()
    pair.caller.send_headers(1, request_headers("HEAD"), end_stream=True)
    pair.settle()
    pair.server.send_headers(1, [*OK, ("content-length", "10")], end_stream=True)
    pair.settle()
    (exchange,) = watch(pair.wire, close=False).exchanges
    assert not exchange.ambiguities


def test_interleaved_streams_and_every_split() -> None:
    pair = Pair()
    for stream in (1, 3, 5):
        pair.caller.send_headers(stream, request_headers("POST", f"/{stream}", x_big="y" * 20_000), end_stream=False)
    pair.settle()
    for stream in (5, 1, 3):
        pair.caller.send_data(stream, b"q" * stream, end_stream=True, pad_length=stream)
    pair.settle()
    for stream in (3, 5, 1):
        pair.server.send_headers(stream, OK)
        pair.server.send_data(stream, b"r" * stream, end_stream=True)
    pair.settle()
    whole = watch(pair.wire).exchanges
    assert [(one.path, one.request_size, one.response_size) for one in whole] == [
        ("/3", 3, 3),
        ("/5", 5, 5),
        ("/1", 1, 1),
    ]
    for step in (1, 2, 7, 9, 10, 4096):
        cut = [
            (direction, piece) for direction, data in pair.wire for piece in pieces(data, range(step, len(data), step))
        ]
        assert [facts(one) for one in watch(cut).exchanges] == [facts(one) for one in whole]


def test_cut_connection() -> None:
    pair = Pair()
    for stream in (1, 3):
        pair.caller.send_headers(stream, request_headers(), end_stream=True)
    pair.settle()
    assert [one.cancelled for one in watch(pair.wire).exchanges] == [CONNECTION] * 2
    assert [one.cancelled for one in watch([*pair.wire, ("<", b"")]).exchanges] == [SERVER] * 2
    assert [one.cancelled for one in watch([*pair.wire, (">", b""), ("<", b"")]).exchanges] == [CALLER] * 2


@pytest.mark.parametrize(
    ("block", "doubt"),
    [
        (b"\x82\x86\x84\x41\x01a\x00\x0aconnection\x05close", "connection in HTTP/2"),
        (b"\x82\x82\x86\x84\x41\x01a", "several :method"),
        (b"\x86\x84\x41\x01a\x00\x01x\x01y\x82", ":method after other headers"),
        (b"\x82\x86\x84\x41\x01a\x00\x04host\x01b", "host differs from :authority"),
        (b"\x82\x86\x84\x41\x01a\x00\x0econtent-length\x013", "content-length differs from the data"),
        (b"\x82\x86\x84\x41\x01a\x00\x01X\x013", "a header named 'X'"),
        (b"\x86\x84\x41\x01a", "a request without method or path"),
    ],
)
def test_doubts_are_noted(block: bytes, doubt: str) -> None:
    asked = PREFACE + frame(4, 0, 0, b"") + frame(1, 5, 1, block)
    (exchange,) = watch([(">", asked), ("<", frame(1, 5, 1, b"\x88"))]).exchanges
    assert exchange.ambiguities == (doubt,)
    assert exchange.status == 200


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (frame(1, 0, 1, b"\x82") + frame(0, 0, 1, b""), "a frame within a header block"),
        (frame(9, 4, 1, b"\x82"), "a CONTINUATION of nothing"),
        (frame(1, 0, 1, b"\x82") + frame(9, 4, 3, b"\x82"), "a CONTINUATION of nothing"),
        (frame(1, 4, 1, b"\xbe"), "a header refers to one we have not seen"),
        (frame(1, 12, 1, b"\x05\x82"), "more padding than frame"),
        (frame(0, 8, 1, b"\x05\x82"), "more padding than frame"),
        (frame(3, 0, 1, b"\x05"), "a malformed RST_STREAM"),
        (frame(5, 4, 1, b"\0\0\0\2\x82"), "a malformed PUSH_PROMISE"),
        (b"\xff\xff\xff\x01\x04\0\0\0\1", "a header block longer than 64 KiB"),
        (
            frame(1, 0, 1, b"\x82") + b"".join(frame(9, 0, 1, b"\x82" * 16384) for _ in range(MOST_HEAD // 16384)),
            "a header block longer than 64 KiB",
        ),
    ],
)
def test_opaque(frames: bytes, why: str) -> None:
    assert watch([(">", PREFACE + frame(4, 0, 0, b"") + frames)]).why == [why]


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_server_speaks_first(size: int) -> None:
    """gRPC's own servers send their settings as soon as they are connected to."""
    pair = Pair()
    pair.caller.send_headers(1, request_headers(), end_stream=True)
    pair.settle()
    pair.server.send_headers(1, OK, end_stream=True)
    pair.settle()
    first = next(index for index, (side, _) in enumerate(pair.wire) if side == "<")
    settings = pair.wire[first][1]
    wire = [("<", settings[start : start + size]) for start in range(0, len(settings), size)]
    seen = watch([*wire, *pair.wire[:first], *pair.wire[first + 1 :]], close=False)
    assert [exchange.status for exchange in seen.exchanges] == [200]
    assert seen.why == []


@pytest.mark.parametrize(
    "then",
    [
        [(">", b"GET / HTTP/1.1\r\n\r\n")],
        [(">", b"PR"), (">", b"OPFIND / HTTP/1.1\r\n\r\n")],
        [("<", b"")],
        [],
    ],
)
def test_settings_of_nobody(then: list[tuple[str, bytes]]) -> None:
    assert watch([("<", frame(4, 0, 0, b"")), *then]).why == ["the server spoke first"]


def test_no_more_is_kept_than_settings() -> None:
    assert watch([("<", frame(4, 0, 0, b"") * 1000)], close=False).why == ["the server spoke first"]
