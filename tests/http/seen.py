"""Collects what a Watch tells, and feeds conversations to one in pieces."""

from __future__ import annotations

from collections.abc import Iterable

from interceptor.http.exchange import Exchange
from interceptor.http.watch import Watch

Facts = tuple[object, ...]


class Seen:
    """A Listener that checks the order of what it is told."""

    def __init__(self, keep: int = 0) -> None:
        self.under_way: list[Exchange] = []
        self.answers: list[Exchange] = []
        self.exchanges: list[Exchange] = []
        self.why: list[str] = []
        self._keep = keep

    def begun(self, exchange: Exchange) -> None:
        assert not self.why
        exchange.keep = self._keep
        self.under_way.append(exchange)

    def answered(self, exchange: Exchange) -> None:
        assert exchange in self.under_way
        assert exchange not in self.answers
        assert exchange.status >= 100
        self.answers.append(exchange)

    def ended(self, exchange: Exchange) -> None:
        self.under_way.remove(exchange)
        assert exchange.ended is not None
        assert exchange.began <= exchange.ended
        self.exchanges.append(exchange)

    def opaque(self, why: str) -> None:
        assert not self.why
        assert not self.under_way
        assert not why.startswith("internal error"), why
        self.why.append(why)


def watch(conversation: Iterable[tuple[str, bytes]], *, keep: int = 0, close: bool = True) -> Seen:
    """Feed `(">" or "<", bytes)` in order, a second apart; an empty piece is that side's end."""
    seen = Seen(keep)
    watched = Watch(seen)
    now = 0.0
    for direction, data in conversation:
        now += 1.0
        piece = data if int(now) % 3 else memoryview(data)  # pieces that waited are bytes, others views
        if direction == ">":
            watched.requested(piece, now) if data else watched.request_side_ended(now)
        else:
            watched.responded(piece, now) if data else watched.response_side_ended(now)
    if close:
        watched.closed(now + 1.0)
        assert not seen.under_way
    return seen


def facts(exchange: Exchange) -> Facts:
    """Everything of an exchange that doesn't depend on when its bytes came."""
    return (
        exchange.protocol,
        exchange.method,
        exchange.scheme,
        exchange.authority,
        exchange.path,
        exchange.status,
        exchange.interim,
        exchange.upgrade,
        exchange.request_size,
        exchange.response_size,
        tuple(exchange.request_headers),
        tuple(exchange.response_headers),
        tuple(exchange.request_trailers),
        tuple(exchange.response_trailers),
        exchange.grpc_status,
        exchange.request_messages,
        exchange.response_messages,
        exchange.cancelled,
        exchange.reset_code,
        exchange.ambiguities,
        bool(exchange.unreadable),  # which of several reasons is found first may depend on the pieces
    )


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """`data` cut at these places."""
    places = sorted({cut for cut in cuts if 0 < cut < len(data)})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True) if start < end]
