"""One HTTP/1 connection as seen from beside it: finds heads, counts bodies, pairs requests with responses. See `watch`.

A body's bytes are skipped by counting; only heads are copied, and kept only while they are incomplete. Between two
requests a connection costs nothing but this object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from interceptor.http.body import Body, ChunkedBody
from interceptor.http.exchange import (
    CALLER,
    CONNECTION,
    MOST_HEAD,
    MOST_WAITING,
    SERVER,
    Data,
    Exchange,
    Listener,
    Unreadable,
)
from interceptor.http.head import LONGEST_REMEMBERED, REQUEST, RESPONSE, VERSIONS, Fields, read_fields
from interceptor.http.keep import Keeper
from interceptor.http.scan import check_answer, check_beginning, find_request, find_response

# Whole heads that came before, to the letter: many callers send the same again and again.
_requests: dict[bytes, tuple[str, str, str, Fields]] = {}
_responses: dict[bytes, tuple[str, int, str, Fields]] = {}
MOST_REMEMBERED = 256
Head = TypeVar("Head")


class Http1:
    """Feed each direction as it passes; Unreadable ends it, then `cut` tells what was under way."""

    __slots__ = (
        "_asked_at",
        "_asking",
        "_body",
        "_caller_left",
        "_held",
        "_listener",
        "_number",
        "_paused",
        "_response",
        "_response_body",
        "_response_held",
        "_response_left",
        "_server_left",
        "_tunnel",
        "_waiting",
        "switched",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._number = 0
        self._waiting: list[Exchange] = []  # without a whole response, oldest first
        self._held = b""  # an incomplete head of a request
        self._asked_at = 0.0  # when its first byte passed
        self._asking: Exchange | None = None  # whose request is passing, and its body
        self._body: Body | None = None
        self._paused: Exchange | None = None  # it asks for an upgrade: what follows depends on the answer
        self._caller_left = self._server_left = False  # who half-closed first
        self._response_held = b""
        self._response: Exchange | None = None  # whose response is passing
        self._response_body: Body | None = None
        self._response_left = 0  # of a body that nobody keeps, right after its head
        self._tunnel: Exchange | None = None  # what the connection became
        self.switched: Exchange | None = None  # it goes on in HTTP/2 (h2c)

    # --- requests ------------------------------------------------------------------------------------------------

    def requested(self, data: Data, now: float) -> None:
        """Bytes from the caller."""
        if self._tunnel is not None:
            self._tunnel.request_size += len(data)
            return
        start, size = 0, len(data)
        while start < size:
            body = self._body
            if body is not None:
                start = body.feed(data, start)
                if body.done:
                    assert self._asking is not None
                    self._request_whole(self._asking, body, now)
                continue
            if not self._held and self._paused is None:
                self._asked_at = now
                known = _requests.get(data) if not start and type(data) is bytes else None
                if known is not None:
                    self._begin(*known, (), now)
                    return
                match = REQUEST.match(data, start)  # nearly always; it copies nothing but what it found
                if match is not None:
                    method, target, version, raw = match.groups()
                    start = match.end()
                    head = method.decode("ascii"), target.decode("latin-1"), VERSIONS[version], read_fields(raw, True)
                    if start == size and size <= LONGEST_REMEMBERED and type(data) is bytes:
                        _remember(_requests, data, head)
                    self._begin(*head, (), now)
                    continue
            start = self._find_request(data, start, now)

    def _find_request(self, data: Data, start: int, now: float) -> int:
        """A head that is in pieces, or not strict."""
        if self._paused is not None:
            if len(self._held) + len(data) - start > MOST_HEAD:
                raise Unreadable("much was sent before an upgrade was answered")
            self._held += bytes(data[start:])
            return len(data)
        request, end = find_request(self._held, data, start)
        if request is None and end == len(data):
            if len(self._held) + len(data) - start > MOST_HEAD:
                raise Unreadable(f"a head longer than {MOST_HEAD >> 10} KiB")
            # A blank line before a request is allowed; old browsers send one after each body.
            self._held = (self._held + bytes(data[start:])).lstrip(b"\r\n")
            check_beginning(self._held)
            return len(data)
        self._held = b""
        if request is not None:
            method, target, version, raw, strict, doubts = request
            self._begin(method, target, version, read_fields(raw, strict), doubts, now)
        return end

    def _begin(self, method: str, target: str, version: str, fields: Fields, doubts: Sequence[str], now: float) -> None:
        if len(self._waiting) >= MOST_WAITING:
            raise Unreadable(f"{MOST_WAITING} requests wait for an answer")
        exchange = Exchange()
        exchange.method, exchange.path, exchange.protocol = method, target, version
        exchange.began = self._asked_at
        self._number += 1
        exchange.number = self._number
        exchange.request_fields = fields.raw
        if fields.host is not None:
            exchange.authority = fields.host
        elif version == "HTTP/1.1":
            doubts = [*doubts, "no Host"]
        if target[:1] != "/":
            doubts = [*doubts, *_absolute(exchange)]
        if fields.coded and version == "HTTP/1.0":
            doubts = [*doubts, "Transfer-Encoding in HTTP/1.0"]
        if doubts or fields.doubts:
            exchange.ambiguities = tuple(dict.fromkeys([*doubts, *fields.doubts]))
        if fields.upgrade or method == "CONNECT":
            exchange.upgrade = fields.upgrade or "connect"
        self._waiting.append(exchange)
        self._asking = exchange
        self._listener.begun(exchange)
        if fields.broken or (fields.coded and not fields.chunked):
            raise Unreadable(fields.broken or fields.doubts[0])
        if fields.chunked or fields.length:
            self._body = self._request_body(exchange, fields)
        else:
            self._request_whole(exchange, None, now)

    def _request_body(self, exchange: Exchange, fields: Fields) -> Body:
        keep = None
        if exchange.keep:
            exchange.request_body = bytearray()
            keep = Keeper(exchange.request_body, exchange.keep)
        return ChunkedBody(keep) if fields.chunked else Body(fields.length, keep)

    def _request_whole(self, exchange: Exchange, body: Body | None, now: float) -> None:
        exchange.request_ended = now
        self._asking = self._body = None
        if body is not None:
            _settle_request(exchange, body)
        if exchange.upgrade:
            self._paused = exchange
        if exchange.response_ended is not None:
            self._end(exchange, now)

    # --- responses -----------------------------------------------------------------------------------------------

    def responded(self, data: Data, now: float) -> None:
        """Bytes from the server."""
        if self._tunnel is not None:
            self._tunnel.response_size += len(data)
            return
        if not (self._number or self._held):
            raise Unreadable("the server spoke first")
        start, size = 0, len(data)
        while start < size:
            body = self._response_body
            if body is not None:
                start = body.feed(data, start)
                if body.done:
                    self._response_whole(body, now)
                continue
            end = data.find(b"\r\n\r\n", start) + 4 if type(data) is bytes and not self._response_held else 0
            known = _responses.get(data[start:end]) if end > 4 else None  # type: ignore[arg-type]  # bytes
            match = None if known is not None or self._response_held else RESPONSE.match(data, start)
            if known is not None:
                start = end
                switches = self._answer(*known, now)
            elif match is not None:
                version, code, reason, raw = match.groups()
                answer = VERSIONS[version], int(code), (reason or b"").decode("latin-1"), read_fields(raw, True)
                if end == match.end() and end - start <= LONGEST_REMEMBERED:
                    _remember(_responses, bytes(data[start:end]), answer)
                start = match.end()
                switches = self._answer(*answer, now)
            else:
                response, end = find_response(self._response_held, data, start)
                if response is None:
                    if len(self._response_held) + size - start > MOST_HEAD:
                        raise Unreadable(f"a head longer than {MOST_HEAD >> 10} KiB")
                    self._response_held += bytes(data[start:])
                    check_answer(self._response_held)
                    return
                start = end
                self._response_held = b""
                protocol, status, text, raw, strict = response
                switches = self._answer(protocol, status, text, read_fields(raw, strict), now)
            if switches:
                self._switch(data[start:])
                return
            left = self._response_left
            if left:
                self._response_left = 0
                exchange = self._response
                assert exchange is not None
                if size - start >= left:  # mostly the whole body came with its head
                    exchange.response_size = left
                    start += left
                    self._response_whole(None, now)
                else:
                    self._response_body = Body(left)

    def _answer(self, version: str, status: int, reason: str, fields: Fields, now: float) -> bool:
        """Take the head of a response; True if what follows is no longer HTTP/1."""
        exchange = self._waiting[0] if self._waiting else self._unasked(version, now)
        for doubt in fields.doubts:
            exchange.doubt(doubt)
        if fields.broken:
            raise Unreadable(fields.broken)
        if status == 101 and exchange is self._paused and exchange.upgrade == "h2c":
            exchange.interim = (*exchange.interim[:15], status)
            return True  # the answer comes in HTTP/2
        if status < 200 and status != 101:
            exchange.interim = (*exchange.interim[:15], status)
            return False
        exchange.status, exchange.reason, exchange.answered = status, reason, now
        exchange.response_fields = fields.raw
        self._response = exchange
        switches = status == 101 or (exchange.upgrade == "connect" and status < 300)
        if switches and not (exchange.upgrade and exchange is self._paused):
            exchange.doubt("a connection that becomes something else, unasked")
            raise Unreadable("the connection became something else")
        if exchange.upgrade and exchange.upgrade != "connect":
            exchange.upgrade = (fields.upgrade or exchange.upgrade) if switches else ""
        self._listener.answered(exchange)
        if switches:
            return True
        if exchange is self._paused:
            exchange.upgrade = ""
            self._go_on(now)
        if exchange.method == "HEAD" or status in (204, 304) or (not fields.coded and fields.length == 0):
            self._response_whole(None, now)
        elif fields.coded or fields.length is None or exchange.keep:
            keep = self._kept_answer(exchange)
            self._response_body = (
                ChunkedBody(keep) if fields.chunked else Body(None if fields.coded else fields.length, keep)
            )
        else:
            self._response_left = fields.length
        return False

    @staticmethod
    def _kept_answer(exchange: Exchange) -> Keeper | None:
        if not exchange.keep:
            return None
        exchange.response_body = bytearray()
        return Keeper(exchange.response_body, exchange.keep)

    def _go_on(self, now: float) -> None:
        """No upgrade: what was sent meanwhile are requests."""
        self._paused = None
        held, self._held = self._held, b""
        if held:
            self.requested(memoryview(held), now)

    def _unasked(self, version: str, now: float) -> Exchange:
        """An answer without a request: some servers say 408 so before they close an idle connection."""
        exchange = Exchange()
        self._number += 1
        exchange.number, exchange.protocol, exchange.began, exchange.request_ended = self._number, version, now, now
        exchange.doubt("an answer without a request")
        self._waiting.append(exchange)
        self._listener.begun(exchange)
        return exchange

    def _response_whole(self, body: Body | None, now: float) -> None:
        exchange = self._response
        assert exchange is not None
        exchange.response_ended = now
        self._response_body = None
        if body is not None:
            _settle_response(exchange, body)
        self._waiting.pop(0)
        if exchange.request_ended is not None:
            self._response = None
            self._end(exchange, now)

    def _switch(self, rest: Data) -> None:
        exchange = self._waiting.pop(0)
        held, self._held = self._held, b""
        self._response = self._paused = None
        if exchange.upgrade == "h2c":
            self.switched = exchange
            self._held, self._response_held = held, bytes(rest)
            return
        self._tunnel = exchange
        exchange.request_size += len(held)
        exchange.response_size += len(rest)

    def left_over(self) -> tuple[bytes, bytes]:
        """What of both directions already belongs to the protocol that follows."""
        return self._held, self._response_held

    # --- ends ----------------------------------------------------------------------------------------------------

    def request_side_ended(self, now: float) -> None:
        """The caller half-closed; it may still read answers."""
        self._caller_left = not self._server_left

    def response_side_ended(self, now: float) -> None:
        """The server half-closed: a response without length is whole, what waits will get none."""
        self._server_left = not self._caller_left
        body = self._response_body
        if body is not None and body.left is None:
            self._response_whole(body, now)

    def cut(self, now: float, *, unreadable: str = "") -> None:
        """The connection is over, or can't be read on: tell everything under way as ended."""
        under_way = self._waiting
        for exchange in (self._asking, self._tunnel):
            if exchange is not None and exchange not in under_way:
                under_way.append(exchange)
        self._waiting = []
        left = CALLER if self._caller_left else SERVER if self._server_left else CONNECTION
        for exchange in under_way:
            if exchange is self._asking and self._body is not None:
                _settle_request(exchange, self._body)
            if exchange is self._response and self._response_body is not None:
                _settle_response(exchange, self._response_body)
            exchange.unreadable = unreadable
            if not unreadable and exchange is not self._tunnel:
                exchange.cancelled = left
            self._end(exchange, now)

    def _end(self, exchange: Exchange, now: float) -> None:
        exchange.ended = now
        self._listener.ended(exchange)


def _remember(heads: dict[bytes, Head], head: bytes, read: Head) -> None:
    if len(heads) >= MOST_REMEMBERED:
        heads.clear()
    heads[head] = read


def _absolute(exchange: Exchange) -> list[str]:
    """A target that is not a path: a proxy's absolute form, CONNECT's authority, or `*`. Returns doubts."""
    target = exchange.path
    if exchange.method == "CONNECT":
        exchange.authority, exchange.path = target.lower(), ""
        return []
    scheme, colon, rest = target.partition("://")
    if not colon:
        return ["a target that is no path"] if target != "*" else []
    authority, slash, path = rest.partition("/")
    differs = bool(exchange.authority) and exchange.authority != authority.lower()
    exchange.scheme, exchange.authority, exchange.path = scheme.lower(), authority.lower(), slash + path
    return ["Host differs from the target's"] if differs else []


def _settle_request(exchange: Exchange, body: Body) -> None:
    exchange.request_size = body.size
    exchange.request_trailer_fields = body.trailers
    for doubt in body.doubts:
        exchange.doubt(doubt)


def _settle_response(exchange: Exchange, body: Body) -> None:
    exchange.response_size = body.size
    exchange.response_trailer_fields = body.trailers
    for doubt in body.doubts:
        exchange.doubt(doubt)
