"""What was seen of one request and its response, and who is told; `http1` and `http2` fill it, `tap` and `routes` read it."""

from __future__ import annotations

import re
from typing import Protocol

Pairs = list[tuple[str, str]]
Data = memoryview | bytes  # a piece of what passes

MOST_HEAD = 64 * 1024  # bytes of one head: nginx takes 32 KiB, Envoy 60 KiB, Node 16 KiB
MOST_WAITING = 1000  # requests of one HTTP/1 connection without an answer
MOST_STREAMS = 10_000  # requests of one HTTP/2 connection under way

CALLER = "the caller"
SERVER = "the server"
CONNECTION = "the end of the connection"

_LINE = re.compile(rb"\r\n")


class Unreadable(Exception):
    """From here on the bytes of a connection mean nothing to us; the text says why."""


class Exchange:
    """One request and what came back.

    Times are those the bytes passed, as given to `Watch`; None: not yet. Sizes are of bodies, without chunk framing and
    HTTP/2 padding. Defaults stand on the class: an exchange has tens of fields, and most never differ.
    """

    number = 0  # counts up within the connection
    protocol = "HTTP/1.1"
    method = ""  # "" for an answer that nobody asked for
    scheme = ""
    authority = ""
    path = ""
    status = 0
    reason = ""
    interim: tuple[int, ...] = ()  # 1xx answers before the final one
    upgrade = ""  # "websocket", or "connect": what the connection became; sizes go on counting its bytes

    began: float = 0.0  # first byte of the request
    request_ended: float | None = None
    answered: float | None = None  # first byte of the final answer
    response_ended: float | None = None
    ended: float | None = None  # both are whole, or what there will be of them

    request_size = 0
    response_size = 0
    request_messages = 0  # of gRPC
    response_messages = 0
    grpc = False
    grpc_status: int | None = None
    grpc_message = ""
    cancelled = ""  # by whom, if it did not come to its end
    reset_code: int | None = None  # of HTTP/2
    pushed = False
    ambiguities: tuple[str, ...] = ()  # where another parser may see other requests than these
    unreadable = ""  # why we saw no more of it

    request_fields: bytes | Pairs = b""  # HTTP/1: raw, each line after a CRLF
    response_fields: bytes | Pairs = b""
    request_trailer_fields: bytes | Pairs = b""
    response_trailer_fields: bytes | Pairs = b""

    keep = 0  # bytes of each body to keep; a listener sets it in `begun` (requests) or `answered`
    request_body: bytearray | None = None
    response_body: bytearray | None = None

    @property
    def request_headers(self) -> Pairs:
        """Names in lower case."""
        return pairs(self.request_fields)

    @property
    def response_headers(self) -> Pairs:
        """Names in lower case."""
        return pairs(self.response_fields)

    @property
    def request_trailers(self) -> Pairs:
        """Names in lower case."""
        return pairs(self.request_trailer_fields)

    @property
    def response_trailers(self) -> Pairs:
        """Names in lower case."""
        return pairs(self.response_trailer_fields)

    @property
    def latency(self) -> float | None:
        """Seconds from the request's first byte to the answer's."""
        return None if self.answered is None else self.answered - self.began

    def doubt(self, text: str) -> None:
        """Note an ambiguity, once."""
        if text not in self.ambiguities:
            self.ambiguities = (*self.ambiguities, text)


_SET_BY_MOST = (
    "method path protocol authority request_fields began number request_size upgrade keep cancelled grpc request_ended"
    " status reason response_fields answered response_size response_ended ended grpc_status response_trailer_fields"
    " scheme pushed request_messages response_messages grpc_message"
)


def _share_keys() -> None:
    """Have the fields that nearly every exchange sets stored in an exchange itself, not in a dict of its own.

    CPython settles which those are by what the first 30 objects of a class have set when the next one is made.
    """
    exchange = Exchange()
    for name in _SET_BY_MOST.split():
        setattr(exchange, name, getattr(exchange, name))


_share_keys()


class Listener(Protocol):
    """Who is told by a `Watch`. Each exchange is told as begun, perhaps as answered, and as ended, each once."""

    def begun(self, exchange: Exchange, /) -> None:
        """The head of a request is in."""

    def answered(self, exchange: Exchange, /) -> None:
        """The head of its final response is in."""

    def ended(self, exchange: Exchange, /) -> None:
        """It is over, well or not."""

    def opaque(self, why: str, /) -> None:
        """The connection can't be read any further; what was under way has been told as ended."""


def pairs(fields: bytes | Pairs) -> Pairs:
    """The header fields as text, names in lower case."""
    if not isinstance(fields, bytes):
        return fields
    found = []
    for line in _LINE.split(fields):
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name.decode("latin-1").lower(), value.strip(b" \t").decode("latin-1")))
    return found


def value_of(fields: bytes | Pairs, name: str) -> str:
    """The first value of a header field, "" without one."""
    return next((value for key, value in pairs(fields) if key == name), "")
