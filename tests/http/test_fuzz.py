"""Whatever the bytes and however they are cut: the same is told, in order, and where httptools or h2 agree, so do we."""

from __future__ import annotations

from dataclasses import dataclass, field

import httptools
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.http.pair import Pair, message, request_headers
from tests.http.seen import Seen, facts, pieces, watch

BLOCKS = [
    b"GET / HTTP/1.1\r\n",
    b"POST /a HTTP/1.0\r\n",
    b"HEAD /b HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.0 404 Not Found\r\n",
    b"Host: a\r\n",
    b"Content-Length: 5\r\n",
    b"content-length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"X: y\n",
    b" folded\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\0\0\4\1\5\0\0\0\1\x82\x86\x84\x41",
    b"\0\0\1\1\5\0\0\0\1\x88",
    b"\0\0\2\0\1\0\0\0\1hi",
    b"\0\0\4\3\0\0\0\0\1\0\0\0\x08",
]
RAW = st.lists(st.sampled_from(BLOCKS) | st.binary(min_size=1, max_size=12), min_size=1, max_size=12).map(b"".join)
CUTS = st.lists(st.integers(1, 300), max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("><"), RAW), min_size=1, max_size=6), CUTS)
@example([(">", b"GET / HTTP/1.1\r\n\r\n"), ("<", b"HTTP/1.1 200 OK\r\n\n")], [17, 18])
def test_cuts_change_nothing(conversation: list[tuple[str, bytes]], cuts: list[int]) -> None:
    whole = watch(conversation)
    cut = watch((direction, piece) for direction, data in conversation for piece in pieces(data, cuts))
    assert [facts(one) for one in cut.exchanges] == [facts(one) for one in whole.exchanges]
    assert len(cut.why) == len(whole.why)


@dataclass
class Parsed:
    """What httptools made of a direction."""

    found: list[tuple[str, int, list[tuple[str, str]]]] = field(default_factory=list)
    path: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0

    def on_message_begin(self) -> None:
        self.path, self.headers, self.size = b"", [], 0

    def on_url(self, url: bytes) -> None:
        self.path += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        self.headers.append((name.decode("latin-1").lower(), (value or b"").strip(b" \t").decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self.size += len(body)

    def on_message_complete(self) -> None:
        self.found.append((self.path.decode("latin-1"), self.size, self.headers))


NAMES = st.sampled_from(["Accept", "X-Trace", "Cookie", "Via"])
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
CHUNKS = st.lists(st.binary(min_size=1, max_size=30), max_size=5)


def lines(start: str, fields: list[tuple[str, str]]) -> bytes:
    return (start + "\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n").encode()


def body(chunks: list[bytes], chunked: bool, trailers: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], bytes]:
    if not chunked:
        return [("Content-Length", str(len(b"".join(chunks))))], b"".join(chunks)
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    end = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    return [("Transfer-Encoding", "chunked")], coded + b"0\r\n" + end.encode() + b"\r\n"


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["GET", "POST", "PATCH"]), FIELDS, CHUNKS, CHUNKS, st.booleans(), st.booleans(), FIELDS
        ),
        min_size=1,
        max_size=4,
    ),
    CUTS,
)
def test_valid_traffic_as_httptools_sees_it(
    messages: list[tuple[str, list[tuple[str, str]], list[bytes], list[bytes], bool, bool, list[tuple[str, str]]]],
    cuts: list[int],
) -> None:
    asked = answered = b""
    for number, (method, fields, sent, got, sent_chunked, got_chunked, trailers) in enumerate(messages):
        framing, data = body(sent, sent_chunked, trailers)
        asked += lines(f"{method} /{number} HTTP/1.1", [("Host", "a"), *fields, *framing]) + data
        framing, data = body(got, got_chunked, trailers)
        answered += lines("HTTP/1.1 200 OK", [*fields, *framing]) + data
    requests, responses = Parsed(), Parsed()
    httptools.HttpRequestParser(requests).feed_data(asked)
    httptools.HttpResponseParser(responses).feed_data(answered)
    found = watch([(">", piece) for piece in pieces(asked, cuts)] + [("<", piece) for piece in pieces(answered, cuts)])
    assert not found.why
    assert not any(one.ambiguities or one.cancelled for one in found.exchanges)
    assert [
        (one.path, one.request_size, one.request_headers + one.request_trailers) for one in found.exchanges
    ] == requests.found
    assert [
        ("", one.response_size, one.response_headers + one.response_trailers) for one in found.exchanges
    ] == responses.found


@settings(deadline=None)
@given(RAW)
def test_broken_traffic_as_httptools_sees_it(raw: bytes) -> None:
    """What both can read without a doubt, both read alike: a difference would be a smuggled request."""
    parsed = Parsed()
    parser = httptools.HttpRequestParser(parsed)
    try:
        parser.feed_data(raw)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return
    seen: Seen = watch([(">", raw)], close=False)
    if seen.why or any(one.ambiguities for one in seen.under_way) or not seen.under_way:
        return
    whole = [one for one in seen.under_way if one.request_ended is not None]
    assert [(one.path, one.request_size, one.request_headers + one.request_trailers) for one in whole] == parsed.found[
        : len(whole)
    ]
    assert len(parsed.found) == len(whole)


def plain(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """As h2 sends them unchanged: it splits cookies, and refuses values that begin or end with a blank."""
    return [(name.lower(), value.strip()) for name, value in fields if name != "Cookie"]


STREAMS = st.lists(
    st.tuples(
        st.booleans(), FIELDS, CHUNKS, CHUNKS, st.sampled_from(["", "", "", "caller", "server"]), st.integers(0, 9)
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=50, deadline=None)
@given(STREAMS, CUTS, st.booleans())
def test_valid_traffic_as_h2_sees_it(
    streams: list[tuple[bool, list[tuple[str, str]], list[bytes], list[bytes], str, int]], cuts: list[int], late: bool
) -> None:
    pair, expected = Pair(), {}
    for index, (grpc, fields, sent, _, _, padding) in enumerate(streams):
        number, more = index * 2 + 1, plain(fields)
        kind = {"content_type": "application/grpc"} if grpc else {}
        pair.caller.send_headers(number, request_headers("POST", f"/{number}", **kind) + more)
        for chunk in sent:
            pair.caller.send_data(number, message(chunk) if grpc else chunk, pad_length=padding or None)
        if late:
            pair.settle()
    for index, (_, _, _, _, breaks, _) in enumerate(streams):
        if breaks != "server":
            pair.caller.end_stream(index * 2 + 1)
    pair.settle()
    for index, (grpc, fields, sent, got, breaks, padding) in enumerate(streams):
        number, more = index * 2 + 1, plain(fields)
        pair.server.send_headers(number, [(":status", "200"), *more])
        for chunk in got:
            pair.server.send_data(number, message(chunk) if grpc else chunk, pad_length=padding or None)
        pair.settle()
        if breaks:
            (pair.server if breaks == "server" else pair.caller).reset_stream(number, 8)
        else:
            pair.server.send_headers(number, [("grpc-status", "0"), *more], end_stream=True)
        pair.settle()
        prefix = 5 if grpc else 0
        expected[f"/{number}"] = (
            sum(prefix + len(chunk) for chunk in sent),
            sum(prefix + len(chunk) for chunk in got),
            (len(sent), len(got)) if grpc else (0, 0),
            [(":status", "200"), *more],
            [] if breaks else [("grpc-status", "0"), *more],
            f"the {breaks}" if breaks else "",
        )
    found = watch((direction, piece) for direction, data in pair.wire for piece in pieces(data, cuts))
    assert not found.why
    assert {
        one.path: (
            one.request_size,
            one.response_size,
            (one.request_messages, one.response_messages),
            one.response_headers,
            one.response_trailers,
            one.cancelled,
        )
        for one in found.exchanges
    } == expected
