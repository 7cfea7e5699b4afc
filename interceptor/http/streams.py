"""What an HTTP/2 stream carries: reads the fields of its request and its end; `http2` has one for each stream under way."""

from __future__ import annotations

from interceptor.http.body import Keep
from interceptor.http.exchange import Exchange, Pairs
from interceptor.http.grpc import MessageCounter

# RFC 9113, 8.2.2: they mean something to HTTP/1 behind a proxy only.
FOREIGN = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})


class Stream:
    """One exchange and how its bodies are counted."""

    __slots__ = ("exchange", "keeps", "lengths", "messages")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.messages: tuple[MessageCounter, MessageCounter] | None = None  # of request and response
        self.lengths = [-1, -1]  # what content-length says
        self.keeps: list[Keep | None] = [None, None]


def read_request(stream: Stream, fields: Pairs) -> None:
    """Take a request's fields over into its exchange."""
    exchange = stream.exchange
    host = ""
    plain = False  # a field that is no pseudo-header was seen
    seen: set[str] = set()
    for name, value in fields:
        if name[:1] == ":":
            if name in seen:
                exchange.doubt(f"several {name}")
            elif plain:
                exchange.doubt(f"{name} after other headers")
            seen.add(name)
            if name == ":method":
                exchange.method = value
            elif name == ":path":
                exchange.path = value
            elif name == ":authority":
                exchange.authority = value.lower()
            elif name == ":scheme":
                exchange.scheme = value
            elif name == ":protocol":
                exchange.upgrade = value
            continue
        plain = True
        if name == "content-type":
            if value.startswith("application/grpc") and value[16:17] in ("", "+", ";"):
                exchange.grpc = True
                stream.messages = MessageCounter(), MessageCounter()
        elif name == "host":
            host = value.lower()
        elif name == "content-length":
            stream.lengths[0] = int(value) if value.isdigit() else -1
        elif name in FOREIGN:
            exchange.doubt(f"{name} in HTTP/2")
    if exchange.method == "CONNECT" and not exchange.upgrade:
        exchange.upgrade = "connect"
    if host and exchange.authority and host != exchange.authority:
        exchange.doubt("host differs from :authority")
    exchange.authority = exchange.authority or host
    if not exchange.method or not (exchange.path or exchange.method == "CONNECT"):
        exchange.doubt("a request without method or path")


def read_grpc_status(exchange: Exchange, fields: Pairs) -> None:
    """Look for gRPC's outcome in trailers, or in the headers of an answer without messages."""
    for name, value in fields:
        if name == "grpc-status" and value.isdigit():
            exchange.grpc_status = int(value)
        elif name == "grpc-message":
            exchange.grpc_message = value[:1024]


def note(exchange: Exchange, doubts: list[str]) -> None:
    """Add what was doubtful about a header block."""
    for doubt in doubts:
        exchange.doubt(doubt)
