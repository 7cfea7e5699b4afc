"""What is told of HTTP/1 conversations."""

from __future__ import annotations

import pytest

from interceptor.http.exchange import CALLER, CONNECTION, MOST_HEAD, MOST_WAITING, SERVER
from tests.http.seen import Seen, facts, watch

GET = b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def only(seen: Seen) -> tuple[int, int, int]:
    (exchange,) = seen.exchanges
    assert not exchange.cancelled
    assert not exchange.ambiguities
    return exchange.status, exchange.request_size, exchange.response_size


def test_request_and_response() -> None:
    seen = watch([(">", b"GET /a?b=1 HTTP/1.1\r\nHost: Shop:80\r\nA: 1\r\n\r\n"), ("<", OK)], close=False)
    (exchange,) = seen.exchanges
    assert (exchange.method, exchange.path, exchange.authority) == ("GET", "/a?b=1", "shop:80")
    assert exchange.request_headers == [("host", "Shop:80"), ("a", "1")]
    assert exchange.response_headers == [("content-length", "2")]
    assert (exchange.began, exchange.request_ended, exchange.answered, exchange.ended) == (1.0, 1.0, 2.0, 2.0)
    assert only(seen) == (200, 0, 2)


def test_keep_alive() -> None:
    seen = watch([(">", GET), ("<", OK), (">", GET), ("<", OK)])
    assert [exchange.number for exchange in seen.exchanges] == [1, 2]


def test_pipelining() -> None:
    seen = watch([(">", GET * 3), ("<", OK * 2), ("<", OK)])
    assert [exchange.status for exchange in seen.exchanges] == [200] * 3


@pytest.mark.parametrize(
    "body", [b"5\r\nhello\r\n0\r\n\r\n", b"2;a=b\r\nhe\r\n3\r\nllo\r\n000\r\nX: 1\r\nY: 2\r\n\r\n"]
)
def test_chunked_bodies(body: bytes) -> None:
    head = b"Transfer-Encoding: chunked\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nHost: a\r\n" + head + body
    seen = watch([(">", post * 2), ("<", b"HTTP/1.1 200 OK\r\n" + head + body), ("<", OK)])
    assert [(one.request_size, one.response_size) for one in seen.exchanges] == [(5, 5), (5, 2)]
    if b"X" in body:
        assert seen.exchanges[0].request_trailers == [("x", "1"), ("y", "2")]
        assert seen.exchanges[0].response_trailers == [("x", "1"), ("y", "2")]


def test_response_without_length() -> None:
    seen = watch([(">", GET), ("<", b"HTTP/1.0 200 OK\r\n\r\n"), ("<", b"x" * 10), ("<", b"")], close=False)
    assert only(seen) == (200, 0, 10)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"200 OK\r\nContent-Length: 10"),
        (b"GET", b"204 No Content"),
        (b"GET", b"304 Not\r\nContent-Length: 9"),
    ],
)
def test_responses_without_body(method: bytes, head: bytes) -> None:
    ask = method + b" / HTTP/1.1\r\nHost: a\r\n\r\n"
    seen = watch([(">", ask), ("<", b"HTTP/1.1 " + head + b"\r\n\r\n"), (">", GET), ("<", OK)])
    assert [exchange.response_size for exchange in seen.exchanges] == [0, 2]


def test_continue() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    seen = watch([(">", post), ("<", b"HTTP/1.1 100 Continue\r\n\r\n"), (">", b"abc"), ("<", OK)])
    assert only(seen) == (200, 3, 2)
    assert seen.exchanges[0].interim == (100,)
    assert seen.exchanges[0].answered == 4.0


def test_answer_before_the_body() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
    seen = watch([(">", post), ("<", OK), (">", b"abc" + GET), ("<", OK)])
    assert [exchange.request_size for exchange in seen.exchanges] == [3, 0]


def test_websocket() -> None:
    ask = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
    answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    seen = watch([(">", ask + b"early"), ("<", answer + b"\x81\x02hi"), (">", b"\x81\x80abcd")])
    assert seen.exchanges[0].upgrade == "websocket"
    assert only(seen) == (101, 11, 4)
    assert len(seen.answers) == 1


def test_refused_upgrade() -> None:
    ask = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    seen = watch([(">", GET + ask + GET), ("<", OK), ("<", OK), ("<", OK)])
    assert [exchange.upgrade for exchange in seen.exchanges] == ["", "", ""]


def test_tunnel_by_connect() -> None:
    seen = watch([(">", b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"), ("<", b"HTTP/1.1 200 OK\r\n\r\nxyz")])
    (exchange,) = seen.exchanges
    assert (exchange.authority, exchange.upgrade, exchange.response_size) == ("db:5432", "connect", 3)


def test_upgrade_to_http2() -> None:
    ask = (
        b"GET /c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n"
    )
    answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    frames = b"\0\0\0\4\0\0\0\0\0" + b"\0\0\1\1\4\0\0\0\1\x88" + b"\0\0\2\0\1\0\0\0\1hi"
    seen = watch([(">", ask), ("<", answer + frames[:12]), (">", preface), ("<", frames[12:])], close=False)
    assert only(seen) == (200, 0, 2)
    assert (seen.exchanges[0].path, seen.exchanges[0].upgrade) == ("/c", "h2c")


def test_absolute_target() -> None:
    (exchange,) = watch([(">", b"GET http://Other:1/x HTTP/1.1\r\nHost: a\r\n\r\n"), ("<", OK)]).exchanges
    assert (exchange.authority, exchange.path) == ("other:1", "/x")
    assert exchange.ambiguities == ("Host differs from the target's",)


def test_unasked_answer() -> None:
    seen = watch([(">", GET), ("<", OK), ("<", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")])
    assert [(one.method, one.status) for one in seen.exchanges] == [("GET", 200), ("", 408)]


@pytest.mark.parametrize(
    ("conversation", "who"),
    [
        ([(">", GET)], CONNECTION),
        ([(">", GET), (">", b"")], CALLER),
        ([(">", GET), ("<", b"")], SERVER),
        ([(">", GET), ("<", OK[:-1]), ("<", b"")], SERVER),
        ([(">", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"), (">", b"")], CALLER),
    ],
)
def test_cancelled(conversation: list[tuple[str, bytes]], who: str) -> None:
    (exchange,) = watch(conversation).exchanges
    assert exchange.cancelled == who


def test_bodies_kept_in_part() -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n3\r\nuvw\r\n0\r\n\r\n"
    (exchange,) = watch([(">", post), ("<", chunked)], keep=4).exchanges
    assert [bytes(body or b"") for body in (exchange.request_body, exchange.response_body)] == [b"abcd", b"xyzu"]
    assert (exchange.request_size, exchange.response_size) == (6, 6)


@pytest.mark.parametrize(
    ("conversation", "why"),
    [
        ([("<", b"220 mail ready\r\n")], "the server spoke first"),
        ([(">", b"\x16\x03\x01\x02\x00")], "TLS"),
        ([(">", b"*1\r\n$4\r\nPING\r\n")], "not HTTP"),
        ([(">", b"\x00\x01\x02")], "not HTTP"),
        ([(">", b"PRI * HTTP/2.0\r\n\r\nXX")], "not HTTP"),
        ([(">", b"GET / HTTP/1.1\r\nA: " + b"b" * MOST_HEAD)], "a head longer than 64 KiB"),
        ([(">", GET), ("<", b"+PONG\r\n")], "an answer that is not HTTP/1"),
        ([(">", GET * (MOST_WAITING + 1))], f"{MOST_WAITING} requests wait for an answer"),
        ([(">", GET), ("<", b"HTTP/1.1 101 X\r\n\r\n")], "the connection became something else"),
    ],
)
def test_opaque(conversation: list[tuple[str, bytes]], why: str) -> None:
    assert watch(conversation).why == [why]


def test_every_split() -> None:
    posts = (
        b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nT: 1\r\n\r\n"
        + b"\r\n"
        + GET
    )
    answers = b"HTTP/1.1 100 Continue\r\n\r\n" + OK + OK
    whole = [facts(exchange) for exchange in watch([(">", posts), ("<", answers)]).exchanges]
    assert len(whole) == 2
    for cut in range(1, len(posts)):
        seen = watch([(">", posts[:cut]), (">", posts[cut:]), ("<", answers)])
        assert [facts(exchange) for exchange in seen.exchanges] == whole
    for cut in range(1, len(answers)):
        seen = watch([(">", posts), ("<", answers[:cut]), ("<", answers[cut:])])
        assert [facts(exchange) for exchange in seen.exchanges] == whole
    single = [(">", posts[at : at + 1]) for at in range(len(posts))] + [("<", bytes([byte])) for byte in answers]
    assert [facts(exchange) for exchange in watch(single).exchanges] == whole
