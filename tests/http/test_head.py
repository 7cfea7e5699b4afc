"""What makes a head ambiguous is said, and read as RFC 9112 wants it."""

from __future__ import annotations

import pytest

from interceptor.http.head import Fields
from tests.http.seen import watch

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
LENGTH = "Content-Length beside Transfer-Encoding"


@pytest.mark.parametrize(
    ("head", "doubt"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", LENGTH),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", "several Content-Length"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", "several Content-Length"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n", "lines end in a bare LF"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "lines end in a bare LF"),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "lines end in a bare LF"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", "a folded header line"),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "a folded header line"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n", "a blank before the colon of 'Content-Length '"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", "a control character in 'X'"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", "a control character in 'X'"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "a header line without a colon: 'X'"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n(x): y\r\n\r\n", "a header named '(x)'"),
        (b"GET / HTTP/1.1\r\n\r\n", "no Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "several Host fields"),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "odd blanks in the request line"),
        (b"GET / b HTTP/1.1\r\nHost: a\r\n\r\n", "odd blanks in the request line"),
        (b"GET /\x07 HTTP/1.1\r\nHost: a\r\n\r\n", "blanks or control characters in the target"),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", "a target that is no path"),
        (b"GET / HTTP/1.3\r\nHost: a\r\n\r\n", "version HTTP/1.3"),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding in HTTP/1.0"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "several Transfer-Encoding fields",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 0 \r\n\r\n",
            "blanks beside a chunk's size",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
            "a chunk's line ends in a bare LF",
        ),
    ],
)
def test_doubts_are_noted(head: bytes, doubt: str) -> None:
    seen = watch([(">", head), ("<", OK)])
    assert seen.exchanges[0].ambiguities[:1] == (doubt,)
    assert not seen.why
    assert seen.exchanges[0].status == 200


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (b"Content-Length: 1\r\nContent-Length: 2", "Content-Length '1, 2'"),
        (b"Content-Length: +1", "Content-Length '+1'"),
        (b"Content-Length: 0x1", "Content-Length '0x1'"),
        (b"Content-Length: ", "Content-Length ''"),
        (b"Content-Length: " + b"9" * 30, f"Content-Length '{'9' * 30}'"),
        (b"Transfer-Encoding: identity", "Transfer-Encoding 'identity'"),
        (b"Transfer-Encoding: xchunked", "Transfer-Encoding 'xchunked'"),
        (b"Transfer-Encoding: \x0bchunked", "a control character in 'Transfer-Encoding'"),
        (b"Transfer-Encoding: chunked, identity", "Transfer-Encoding does not end in one chunked"),
        (b"Transfer-Encoding: chunked, chunked", "Transfer-Encoding does not end in one chunked"),
    ],
)
def test_unknowable_lengths(fields: bytes, why: str) -> None:
    seen = watch([(">", b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n\r\nx"), ("<", OK)])
    (exchange,) = seen.exchanges
    assert seen.why == [why]
    assert exchange.unreadable == why
    assert exchange.ambiguities


@pytest.mark.parametrize("size", [b"0x1", b"-1", b"1_0", b"", b"g", b"1" * 16])
def test_bad_chunk_sizes(size: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    (why,) = watch([(">", head + size + b"\r\nx")]).why
    assert why.startswith("a chunk of size")


def test_chunk_longer_than_its_size() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert watch([(">", head + b"1\r\nxy\r\n0\r\n\r\n")]).why == ["a chunk is longer than its size says"]


def test_last_of_a_response_counts_as_chunked() -> None:
    fields = Fields(b"\r\nTransfer-Encoding: gzip, chunked")
    assert fields.chunked
    assert not fields.doubts
