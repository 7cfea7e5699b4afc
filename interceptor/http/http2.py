"""One HTTP/2 connection as seen from beside it: follows frames and streams in both directions. See `watch`.

Only header blocks are collected; DATA is counted as it passes, settings and flow control don't concern us: the size of a
header table changes within the header blocks themselves.
"""

from __future__ import annotations

from interceptor.http.exchange import (
    CALLER,
    CONNECTION,
    MOST_HEAD,
    MOST_STREAMS,
    SERVER,
    Data,
    Exchange,
    Listener,
    Pairs,
    Unreadable,
)
from interceptor.http.hpack import Decoder
from interceptor.http.keep import Keeper
from interceptor.http.streams import FOREIGN, Stream, note, read_grpc_status, read_request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = 9
DATA, HEADERS, RST_STREAM, PUSH_PROMISE, CONTINUATION = 0, 1, 3, 5, 9
END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 32
_COLLECTED = frozenset({HEADERS, RST_STREAM, PUSH_PROMISE, CONTINUATION})


class Side:
    """One direction of the connection."""

    __slots__ = (
        "answers",
        "block",
        "block_flags",
        "block_stream",
        "data",
        "decoder",
        "ends",
        "held",
        "left",
        "padding",
    )

    def __init__(self, answers: bool) -> None:
        self.answers = answers  # the server's
        self.decoder = Decoder()
        self.held = b""  # an incomplete frame header, or a whole frame that is collected
        self.left = 0  # bytes of a payload that is counted, or skipped
        self.padding = 0
        self.data: Stream | None = None  # whose DATA passes
        self.ends = 0  # the stream that this DATA ends
        self.block: bytearray | None = None  # a header block that goes on in CONTINUATION
        self.block_stream = 0
        self.block_flags = 0


class Http2:
    """Feed each direction as it passes, the caller's after its preface; Unreadable ends it, then `cut` tells the rest."""

    __slots__ = ("_answers", "_caller_left", "_listener", "_newest", "_requests", "_server_left", "_streams")

    def __init__(self, listener: Listener, upgraded: Exchange | None = None) -> None:
        self._listener = listener
        self._requests = Side(answers=False)
        self._answers = Side(answers=True)
        self._streams: dict[int, Stream] = {}
        self._newest = 0
        self._caller_left = self._server_left = False
        if upgraded is not None:  # h2c: its answer comes as stream 1
            self._streams[1] = Stream(upgraded)
            self._newest = 1

    def requested(self, data: Data, now: float) -> None:
        """Bytes from the caller."""
        self._feed(self._requests, data, now)

    def responded(self, data: Data, now: float) -> bool:
        """Bytes from the server; False: it stays HTTP/2."""
        self._feed(self._answers, data, now)
        return False

    # --- frames --------------------------------------------------------------------------------------------------

    def _feed(self, side: Side, data: Data, now: float) -> None:
        start, size = 0, len(data)
        while start < size:
            if side.left:
                end = min(size, start + side.left)
                side.left -= end - start
                if side.data is not None:
                    self._count(side, data[start:end])
                start = end
                if not side.left:
                    self._data_over(side, now)
                continue
            frame = side.held
            start, frame = _fill(frame, data, start, HEADER)
            if len(frame) < HEADER:
                side.held = frame
                return
            kind, flags, length = frame[3], frame[4], int.from_bytes(frame[:3], "big")
            if side.block is not None and kind != CONTINUATION:
                raise Unreadable("a frame within a header block")
            if kind in _COLLECTED:
                if length > MOST_HEAD:
                    raise Unreadable(f"a header block longer than {MOST_HEAD >> 10} KiB")
                start, frame = _fill(frame, data, start, HEADER + length)
                if len(frame) < HEADER + length:
                    side.held = frame
                    return
                side.held = b""
                self._frame(side, kind, flags, int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF, frame[HEADER:], now)
                continue
            if kind == DATA:
                padded = 1 if flags & PADDED and length else 0
                start, frame = _fill(frame, data, start, HEADER + padded)
                if len(frame) < HEADER + padded:
                    side.held = frame
                    return
                self._begin_data(side, frame, length - padded, frame[HEADER] if padded else 0)
            else:
                side.left = length
            side.held = b""
            if not side.left:
                self._data_over(side, now)

    def _frame(self, side: Side, kind: int, flags: int, number: int, payload: bytes, now: float) -> None:
        if kind == RST_STREAM:
            if len(payload) != 4:
                raise Unreadable("a malformed RST_STREAM")
            self._reset(side, number, int.from_bytes(payload, "big"), now)
            return
        if kind == CONTINUATION:
            if side.block is None or number != side.block_stream:
                raise Unreadable("a CONTINUATION of nothing")
            side.block += payload
            if len(side.block) > MOST_HEAD:
                raise Unreadable(f"a header block longer than {MOST_HEAD >> 10} KiB")
            if not flags & END_HEADERS:
                return
            block, flags, side.block = bytes(side.block), side.block_flags, None
            self._block(side, number, flags, block, now)
            return
        block = _unpadded(payload, flags)
        if kind == PUSH_PROMISE:
            if not side.answers or len(block) < 4:
                raise Unreadable("a malformed PUSH_PROMISE")
            number, block, flags = int.from_bytes(block[:4], "big") & 0x7FFFFFFF, block[4:], flags & ~END_STREAM
            flags |= 0x100  # of ours: the fields are a request's
        elif flags & PRIORITY:
            block = block[5:]
        if flags & END_HEADERS:
            self._block(side, number, flags, block, now)
        else:
            side.block, side.block_stream, side.block_flags = bytearray(block), number, flags

    def _block(self, side: Side, number: int, flags: int, block: bytes, now: float) -> None:
        fields = side.decoder.decode(block)
        stream = self._streams.get(number)
        if flags & 0x100:
            self._begin(number, fields, side.decoder.doubts, now, pushed=True)
            return
        if stream is None:
            if side.answers or number <= self._newest or not number & 1:
                return  # it crossed a reset
            stream = self._begin(number, fields, side.decoder.doubts, now)
        elif side.answers:
            self._answer(stream, fields, side.decoder.doubts, now)
        else:
            stream.exchange.request_trailer_fields = fields
            note(stream.exchange, side.decoder.doubts)
        if flags & END_STREAM:
            self._half_over(side, number, stream, now)

    # --- streams -------------------------------------------------------------------------------------------------

    def _begin(self, number: int, fields: Pairs, doubts: list[str], now: float, *, pushed: bool = False) -> Stream:
        if len(self._streams) >= MOST_STREAMS:
            raise Unreadable(f"{MOST_STREAMS} streams at once")
        exchange = Exchange()
        exchange.protocol, exchange.began, exchange.number, exchange.pushed = "HTTP/2", now, number, pushed
        exchange.request_fields = fields
        stream = Stream(exchange)
        if not pushed:
            self._newest = number
        read_request(stream, fields)
        note(exchange, doubts)
        self._streams[number] = stream
        self._listener.begun(exchange)
        if exchange.keep:
            exchange.request_body = bytearray()
            stream.keeps[0] = Keeper(exchange.request_body, exchange.keep)
        if pushed:
            exchange.request_ended = now
        return stream

    def _answer(self, stream: Stream, fields: Pairs, doubts: list[str], now: float) -> None:
        exchange = stream.exchange
        note(exchange, doubts)
        if exchange.answered is not None:
            exchange.response_trailer_fields = fields
            read_grpc_status(exchange, fields)
            return
        status = next((value for name, value in fields if name == ":status"), "")
        if not (len(status) == 3 and status.isdigit()):
            raise Unreadable("an answer without a status")
        if status < "200" and status != "101":
            exchange.interim = (*exchange.interim[:15], int(status))
            return
        exchange.status, exchange.answered, exchange.response_fields = int(status), now, fields
        for name, value in fields:
            if name == "content-length":
                stream.lengths[1] = int(value) if value.isdigit() and exchange.method != "HEAD" else -1
            elif name in FOREIGN:
                exchange.doubt(f"{name} in HTTP/2")
        if exchange.grpc:
            read_grpc_status(exchange, fields)
        if exchange.status != 200 and exchange.upgrade:
            exchange.upgrade = ""
        self._listener.answered(exchange)
        if exchange.keep:
            exchange.response_body = bytearray()
            stream.keeps[1] = Keeper(exchange.response_body, exchange.keep)

    def _begin_data(self, side: Side, frame: bytes, left: int, padding: int) -> None:
        number = int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF
        if padding > left:
            raise Unreadable("more padding than frame")
        side.left, side.padding = left, padding
        side.data = self._streams.get(number)
        side.ends = number if frame[4] & END_STREAM else 0

    def _count(self, side: Side, data: Data) -> None:
        stream = side.data
        assert stream is not None
        if side.left < side.padding:  # some of it is padding
            data = data[: max(0, len(data) - (side.padding - side.left))]
            side.padding = side.left
        exchange = stream.exchange
        if side.answers:
            exchange.response_size += len(data)
        else:
            exchange.request_size += len(data)
        if stream.messages is not None:
            stream.messages[side.answers].feed(data)
        keep = stream.keeps[side.answers]
        if keep is not None:
            keep(data)

    def _data_over(self, side: Side, now: float) -> None:
        stream, number = side.data, side.ends
        side.data, side.ends, side.padding = None, 0, 0
        if stream is not None and number:
            self._half_over(side, number, stream, now)

    def _half_over(self, side: Side, number: int, stream: Stream, now: float) -> None:
        exchange = stream.exchange
        size = exchange.response_size if side.answers else exchange.request_size
        if stream.lengths[side.answers] >= 0 and stream.lengths[side.answers] != size:
            exchange.doubt("content-length differs from the data")
        if side.answers:
            exchange.response_ended = now
        else:
            exchange.request_ended = now
        if exchange.response_ended is not None and exchange.request_ended is not None:
            self._over(number, stream, now)

    def _reset(self, side: Side, number: int, code: int, now: float) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            exchange = stream.exchange
            exchange.reset_code = code
            if exchange.response_ended is None:
                exchange.cancelled = SERVER if side.answers else CALLER
            self._over(number, stream, now)

    def _over(self, number: int, stream: Stream, now: float) -> None:
        del self._streams[number]
        exchange = stream.exchange
        if stream.messages is not None:
            exchange.request_messages, exchange.response_messages = (counter.count for counter in stream.messages)
        for side in (self._requests, self._answers):
            if side.data is stream:
                side.data = None
        exchange.ended = now
        self._listener.ended(exchange)

    # --- ends ----------------------------------------------------------------------------------------------------

    def request_side_ended(self, now: float) -> None:
        """The caller half-closed."""
        self._caller_left = not self._server_left

    def response_side_ended(self, now: float) -> None:
        """The server half-closed."""
        self._server_left = not self._caller_left

    def cut(self, now: float, *, unreadable: str = "") -> None:
        """The connection is over, or can't be read on: tell everything under way as ended."""
        for number, stream in list(self._streams.items()):
            stream.exchange.unreadable = unreadable
            if not unreadable and stream.exchange.response_ended is None:
                stream.exchange.cancelled = CALLER if self._caller_left else SERVER if self._server_left else CONNECTION
            self._over(number, stream, now)


def _fill(frame: bytes, data: Data, start: int, size: int) -> tuple[int, bytes]:
    """Bring `frame` up to `size` from `data`, as far as it goes."""
    missing = size - len(frame)
    if missing <= 0:
        return start, frame
    piece = bytes(data[start : start + missing])
    return start + len(piece), frame + piece if frame else piece


def _unpadded(payload: bytes, flags: int) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Unreadable("more padding than frame")
    return payload[1 : len(payload) - payload[0]]
