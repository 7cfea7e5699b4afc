"""The HTTP proxy's grammar: what is passed on, what is refused, and that nothing is smuggled past."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.sandbox.http_connect import MAX_HEAD, BadRequest, head_length, parse_head, response, status_of
from interceptor.wire.reasons import Reason


def head(line: str, *fields: str) -> bytes:
    return "".join(f"{text}\r\n" for text in (line, *fields, "")).encode()


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [("orders:8080", "orders", 8080), ("[fd00::1]:443", "fd00::1", 443), ("10.0.0.1:1", "10.0.0.1", 1)],
)
def test_connect_names_target(authority: str, host: str, port: int) -> None:
    request = parse_head(head(f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"))
    assert (request.host, request.port, request.is_connect) == (host, port, True)


@pytest.mark.parametrize(
    ("target", "line", "host", "port"),
    [
        ("http://orders/a/b?c=d", "GET /a/b?c=d", "orders", 80),
        ("http://orders", "GET /", "orders", 80),
        ("http://orders?x=/y", "GET /?x=/y", "orders", 80),
        ("HTTP://orders:8080/", "GET /", "orders:8080", 8080),
        ("http://ana:secret@orders/x@y", "GET /x@y", "orders", 80),
        ("http://[::1]:81/", "GET /", "[::1]:81", 81),
        ("http://[::1]/", "GET /", "[::1]", 80),
    ],
)
def test_forward_becomes_origin_form(target: str, line: str, host: str, port: int) -> None:
    request = parse_head(head(f"GET {target} HTTP/1.1", "Host: elsewhere", "Accept: */*"))
    assert request.head.decode() == f"{line} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    assert request.port == port


def test_hop_fields_end_here() -> None:
    fields = ["Proxy-Connection: keep-alive", "Connection: keep-alive", "Proxy-Authorization: x", "TE: trailers"]
    request = parse_head(head("GET http://orders/ HTTP/1.1", *fields, "Upgrade: h2c", "X-Mine: 1"))
    assert request.head == b"GET / HTTP/1.1\r\nHost: orders\r\nX-Mine: 1\r\nConnection: close\r\n\r\n"


def test_websocket_may_upgrade() -> None:
    request = parse_head(head("GET http://orders/ws HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade"))
    assert request.head.endswith(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")


def test_options_may_ask_server() -> None:
    assert parse_head(head("OPTIONS http://orders HTTP/1.1")).head.startswith(b"OPTIONS * HTTP/1.1\r\n")
    assert parse_head(head("OPTIONS http://orders/ HTTP/1.1")).head.startswith(b"OPTIONS / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "raw",
    [
        head("GET / HTTP/1.1", "Host: orders"),
        head("GET https://orders/ HTTP/1.1"),
        head("GET ftp://orders/ HTTP/1.1"),
        head("CONNECT orders HTTP/1.1"),
        head("CONNECT orders:0 HTTP/1.1"),
        head("CONNECT orders:65536 HTTP/1.1"),
        head("CONNECT orders:+80 HTTP/1.1"),
        head("CONNECT :80 HTTP/1.1"),
        head("CONNECT fd00::1:80 HTTP/1.1"),
        head("CONNECT a/b:80 HTTP/1.1"),
        head("GET http:/// HTTP/1.1"),
        head("GET http://orders/ HTTP/2.0"),
        head("GET  http://orders/ HTTP/1.1"),
        head("GET http://orders/ HTTP/1.1", " folded: line"),
        head("GET http://orders/ HTTP/1.1", "Name : space"),
        head("GET http://orders/ HTTP/1.1", "X: a\nInjected: b"),
        head("GET http://orders/ HTTP/1.1", "X: a\rInjected: b"),
        head("GET http://orders/ HTTP/1.1", "X: \x00"),
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_nonsense_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_head(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_judged(data: bytes) -> None:
    for start in (b"", b"GET http://orders/", b"CONNECT ", b"GET http://orders/ HTTP/1.1\r\n"):
        try:
            request = parse_head(start + data + b"\r\n\r\n")
        except BadRequest:
            continue
        assert request.host
        assert 1 <= request.port <= 65535
        assert request.head.count(b"\r\n\r\n") == (0 if request.is_connect else 1)


@given(
    st.lists(st.tuples(st.from_regex(r"X-[A-Za-z]{1,9}", fullmatch=True), st.from_regex(r"[!-~]{1,9}", fullmatch=True)))
)
def test_fields_are_kept(fields: list[tuple[str, str]]) -> None:
    request = parse_head(head("PUT http://orders/ HTTP/1.1", *(f"{name}: {value}" for name, value in fields)))
    kept = request.head.decode().split("\r\n")[2:-3]
    assert kept == [f"{name}: {value}" for name, value in fields]


def test_head_is_bounded() -> None:
    assert head_length(b"GET x HTTP/1.1\r\n\r\nbody") == 18
    assert head_length(b"G" * (MAX_HEAD - 1)) is None
    with pytest.raises(BadRequest, match="longer than") as caught:
        head_length(b"G" * MAX_HEAD)
    assert caught.value.status == 431


def test_answer_is_one_message() -> None:
    answer = response(502, "why\r\nSet-Cookie: x=y\u00fc")
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 502 why Set-Cookie: x=y?\r\n")
    assert body == b"why Set-Cookie: x=y?\n"


def test_every_reason_has_status() -> None:
    assert {status_of(reason) for reason in Reason} == {502, 504}
