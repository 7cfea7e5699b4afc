"""One HTTP/1 connection as seen from beside it: finds heads, counts bodies, pairs requests with responses. See `watch`.

A body's bytes are skipped by counting; only heads are copied, and kept only while they are incomplete. Between two
requests a connection costs nothing but this object.
"""

from __future__ import annotations

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
from interceptor.http.keep import Keeper
from interceptor.http.message import (
    RequestHead,
    ResponseHead,
    any_request,
    any_response,
    known_request,
    strict_request,
    strict_response,
)
from interceptor.http.scan import check_answer, check_beginning

# The last plain response's, of whatever connection: the next one often has the same.
_latest: ResponseHead | None = None


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
        self._tunnel: Exchange | None = None  # what the connection became
        self.switched: Exchange | None = None  # it goes on in HTTP/2 (h2c)

    # --- requests ------------------------------------------------------------------------------------------------

    def requested(self, data: Data, now: float) -> None:
        """Bytes from the caller."""
        if self._tunnel is not None:
            self._tunnel.request_size += len(data)
            return
        if self._body is None and type(data) is bytes and not self._held and self._paused is None:
            head = known_request(data)
            if head is not None and head.bare:
                self._asked_at = now
                self._begin(head, now)
                return
        start, size = 0, len(data)
        while start < size:
            body = self._body
            if body is not None:
                start = body.feed(data, start)
                if body.done:
                    assert self._asking is not None
                    self._request_whole(self._asking, body, now)
            elif self._held or self._paused is not None:
                start = self._find_request(data, start, now)
            else:
                self._asked_at = now
                found = strict_request(data, start)
                if found is None:
                    start = self._find_request(data, start, now)
                else:
                    start = found[1]
                    self._begin(found[0], now, size - start)
                    if self._asking is None and found[0].length:
                        start += found[0].length

    def _find_request(self, data: Data, start: int, now: float) -> int:
        """A head that is in pieces, or not strict."""
        if self._paused is not None:
            if len(self._held) + len(data) - start > MOST_HEAD:
                raise Unreadable("much was sent before an upgrade was answered")
            self._held += bytes(data[start:])
            return len(data)
        request, end = any_request(self._held, data, start)
        if request is None and end == len(data):
            if len(self._held) + len(data) - start > MOST_HEAD:
                raise Unreadable(f"a head longer than {MOST_HEAD >> 10} KiB")
            # A blank line before a request is allowed; old browsers send one after each body.
            self._held = (self._held + bytes(data[start:])).lstrip(b"\r\n")
            check_beginning(self._held)
            return len(data)
        self._held = b""
        if request is not None:
            self._begin(request, now)
        return end

    def _begin(self, head: RequestHead, now: float, here: int = 0) -> None:
        """A request begins; if its whole body is in the `here` bytes after its head, it is over as well."""
        waiting = self._waiting
        if len(waiting) >= MOST_WAITING:
            raise Unreadable(f"{MOST_WAITING} requests wait for an answer")
        exchange = Exchange()
        exchange.method, exchange.path, exchange.protocol = head.method, head.path, head.protocol
        exchange.authority, exchange.request_fields, exchange.upgrade = head.authority, head.fields, head.upgrade
        exchange.began = self._asked_at
        self._number = exchange.number = self._number + 1
        # Their defaults, which will be read: what stands on the class is found five times slower.
        exchange.keep = exchange.request_size = 0
        exchange.cancelled = ""
        exchange.grpc = False
        if head.ambiguities:
            exchange.ambiguities = head.ambiguities
        if head.scheme:
            exchange.scheme = head.scheme
        waiting.append(exchange)
        if head.bare:
            self._listener.begun(exchange)
            exchange.request_ended = now
            return
        self._asking = exchange
        self._listener.begun(exchange)
        if head.unreadable:
            raise Unreadable(head.unreadable)
        if head.chunked or (head.length and (exchange.keep or head.length > here)):
            self._body = self._request_body(exchange, head)
        else:
            exchange.request_size = head.length
            self._request_whole(exchange, None, now)

    def _request_body(self, exchange: Exchange, head: RequestHead) -> Body:
        keep = None
        if exchange.keep:
            exchange.request_body = bytearray()
            keep = Keeper(exchange.request_body, exchange.keep)
        return ChunkedBody(keep) if head.chunked else Body(head.length, keep)

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

    def responded(self, data: Data, now: float) -> bool:
        """Bytes from the server; True if the connection goes on in HTTP/2, see `switched`."""
        global _latest  # noqa: PLW0603  one for all connections: a head for each is more than an idle one may cost
        if self._tunnel is not None:
            self._tunnel.response_size += len(data)
            return False
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
            head = _latest
            if (
                head is not None
                and not self._response_held
                and type(data) is bytes
                and data.startswith(head.raw, start)
            ):
                start += len(head.raw)
            else:
                head, start = self._find_response(data, start)
                if head is None:
                    return False
                _latest = head if head.raw else None
            exchange = self._waiting[0] if self._waiting else None
            if head.plain and exchange is not None and not exchange.upgrade and exchange.method != "HEAD":
                start += self._answer_plainly(exchange, head, size - start, now)
            elif self._answer(head, now):
                self._switch(data[start:])
                return self.switched is not None
        return False

    def _find_response(self, data: Data, start: int) -> tuple[ResponseHead | None, int]:
        """The head of a response, and where it ends; None while it is incomplete."""
        if not self._response_held:
            found = strict_response(data, start)
            if found is not None:
                return found
        response, end = any_response(self._response_held, data, start)
        if response is None:
            if len(self._response_held) + len(data) - start > MOST_HEAD:
                raise Unreadable(f"a head longer than {MOST_HEAD >> 10} KiB")
            self._response_held += bytes(data[start:])
            check_answer(self._response_held)
        else:
            self._response_held = b""
        return response, end

    def _answer_plainly(self, exchange: Exchange, head: ResponseHead, here: int, now: float) -> int:
        """Take a head like nearly all. Returns how many of the `here` bytes after it were its body."""
        exchange.status, exchange.reason, exchange.response_fields = head.status, head.reason, head.fields
        exchange.answered = now
        self._listener.answered(exchange)
        length = head.length or 0
        if length > here or (length and exchange.keep):  # mostly the whole body came with its head
            self._response = exchange
            self._response_body = Body(length, self._kept_answer(exchange))
            return 0
        exchange.response_size = length
        exchange.response_ended = now
        del self._waiting[0]
        if exchange.request_ended is not None:
            exchange.ended = now
            self._listener.ended(exchange)
        return length

    def _answer(self, head: ResponseHead, now: float) -> bool:
        """Take any other head; True if what follows is no longer HTTP/1."""
        exchange = self._waiting[0] if self._waiting else self._unasked(head.protocol, now)
        status = head.status
        for doubt in head.doubts:
            exchange.doubt(doubt)
        if head.unreadable:
            raise Unreadable(head.unreadable)
        if status == 101 and exchange is self._paused and exchange.upgrade == "h2c":
            exchange.interim = (*exchange.interim[:15], status)
            return True  # the answer comes in HTTP/2
        if status < 200 and status != 101:
            exchange.interim = (*exchange.interim[:15], status)
            return False
        exchange.status, exchange.reason, exchange.answered = status, head.reason, now
        exchange.response_fields = head.fields
        self._response = exchange
        switches = status == 101 or (exchange.upgrade == "connect" and status < 300)
        if switches and not (exchange.upgrade and exchange is self._paused):
            exchange.doubt("a connection that becomes something else, unasked")
            raise Unreadable("the connection became something else")
        if exchange.upgrade and exchange.upgrade != "connect":
            exchange.upgrade = (head.upgrade or exchange.upgrade) if switches else ""
        self._listener.answered(exchange)
        if switches:
            return True
        if exchange is self._paused:
            exchange.upgrade = ""
            self._go_on(now)
        if exchange.method == "HEAD" or status in (204, 304) or (not head.coded and head.length == 0):
            self._response_whole(None, now)
        else:
            keep = self._kept_answer(exchange)
            self._response_body = ChunkedBody(keep) if head.chunked else Body(None if head.coded else head.length, keep)
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
        del self._waiting[0]
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
