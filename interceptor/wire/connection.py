"""The one door to the protocol: `receive` turns bytes into events, the verbs queue frames, `take` hands them out.

Called by `tunnel.mux`, which owns the socket. Theory of operation:
- Both ends send HELLO at once; streams may open when the peer's has arrived. The client's are odd, the agent's even.
- DATA is passed on as it arrives (cut-through): a frame split over ten reads is ten events, and nothing is gathered but
  headers and small payloads. The whole frame is charged against the stream's credit when its header is read.
- Credit goes back when bytes were *consumed* (written to the local socket), half a window at a time, so a slow reader
  stops only its own stream. A stream whose reader keeps up while its sender runs dry gets a larger window, out of a
  budget per connection: fast streams are fast on a long link, and a thousand slow ones hold little.
- Any violation queues CLOSE with the reason, and the connection is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from interceptor.wire import frames, greeting
from interceptor.wire.errors import LocalProtocolError, RemoteProtocolError
from interceptor.wire.events import (
    Closed,
    ControlReceived,
    Credited,
    Event,
    HelloReceived,
    PongReceived,
    StreamAccepted,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from interceptor.wire.frames import DATA, HEADER, MAX_PAYLOAD, Flag, Kind
from interceptor.wire.greeting import FEATURES, VERSION, Greeting
from interceptor.wire.limits import LONGEST_PAYLOAD, OTHERS_LONGEST, Limits
from interceptor.wire.reader import GATHER, PASS, SKIP, Fate, Reader
from interceptor.wire.reasons import Reason
from interceptor.wire.states import ConnectionState, Halves, Setup, Signal
from interceptor.wire.stream import Stream
from interceptor.wire.writer import Writer

_OVER = (ConnectionState.CLOSING, ConnectionState.CLOSED)

# For what each request or connection takes: an enum's member looked up in its class is a call in Python 3.11.
_OPEN, _OPENING, _OFFERED, _BOTH_ENDED = ConnectionState.OPEN, Setup.OPENING, Setup.OFFERED, Halves.CLOSED
_OPEN_FRAME, _ACCEPT, _CREDIT, _END, _RESET = map(int, (Kind.OPEN, Kind.ACCEPT, Kind.CREDIT, Kind.END, Kind.RESET))
_SEND_ACCEPT, _SEND_END, _SEND_RESET = Signal.SEND_ACCEPT, Signal.SEND_END, Signal.SEND_RESET
_GET_ACCEPT, _GET_END, _GET_RESET = Signal.GET_ACCEPT, Signal.GET_END, Signal.GET_RESET
_LONGEST_OPEN = LONGEST_PAYLOAD[Kind.OPEN]


class Role(Enum):
    """Which end we are; says which stream numbers are ours."""

    CLIENT = 1
    AGENT = 2


class Connection:
    """One tunnel's protocol state at one end. Not thread-safe; does no I/O."""

    def __init__(
        self,
        role: Role,
        session: str,
        *,
        limits: Limits = Limits(),  # noqa: B008  immutable
        features: frozenset[str] = FEATURES,
        version: int = VERSION,
    ) -> None:
        self.state = ConnectionState.GREETING
        self.limits = limits
        self.streams: dict[int, Stream] = {}
        self.version = version
        self.features = features
        self._next = 1 if role is Role.CLIENT else 2
        self._highest_theirs = 0
        self._theirs = 0  # alive streams that the peer opened
        self._their_window = 0
        self._growth = limits.growth
        self._writer = Writer(limits.answers)
        self._reader = Reader(self._begin, self._complete)
        self._control = bytearray()  # earlier parts of a CONTROL message
        self._greeting = Greeting(version, session, features, limits.window)
        self._writer.frame(Kind.HELLO, 0, self._greeting.pack())

    # --- bytes out -----------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes that `take` would hand out."""
        return len(self._writer.queue)

    def take(self) -> bytearray:
        """Hand over the queued frames; the caller sends all of them."""
        return self._writer.take()

    # --- verbs ---------------------------------------------------------------------------------------------

    def open(self, target: Mapping[str, Any]) -> int:
        """Ask the peer to connect `target`; data may follow at once. Returns the stream's number."""
        if self.state is not _OPEN or self._next > 0x7FFF_FFFF:
            raise LocalProtocolError(f"open while {self.state.name}")
        payload = frames.pack_object(target)
        if len(payload) > _LONGEST_OPEN:
            raise LocalProtocolError("target too long")
        number, self._next = self._next, self._next + 2
        self.streams[number] = Stream(number, _OPENING, self._their_window, self.limits.window)
        self._writer.frame(_OPEN_FRAME, number, payload)
        return number

    def accept(self, number: int, info: Mapping[str, Any] | None = None) -> None:
        """Say that a stream of the peer's is connected."""
        self._alive(number).sent(_SEND_ACCEPT)
        self._writer.answer(_ACCEPT, number, frames.pack_object(info) if info else b"")

    def send(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Queue a copy: as many bytes as the stream has credit for and a frame carries, at most."""
        self._charge(number, len(data))
        self._writer.data(number, data)

    def head(self, number: int, buffer: bytearray | memoryview, size: int) -> None:
        """Write a DATA header into the first 8 bytes of `buffer`, whose next `size` bytes are the payload.

        The caller sends header and payload itself, after whatever `take` hands out: no copy, no join.
        """
        self._charge(number, size)
        HEADER.pack_into(buffer, 0, DATA, 0, size, number)

    def end(self, number: int) -> None:
        """Half-close: nothing more from us on this stream."""
        stream = self._alive(number)
        stream.sent(_SEND_END)
        self._writer.frame(_END, number)
        self._forget_if_closed(stream)

    def reset(self, number: int, reason: Reason, text: str = "") -> None:
        """End a stream in both directions; no-op if it is already over."""
        stream = self.streams.get(number)
        if stream is not None:
            stream.sent(_SEND_RESET)
            self._writer.answer(_RESET, number, frames.reason_payload(reason, text))
            self._forget_if_closed(stream)

    def consumed(self, number: int, size: int) -> bool:
        """`size` bytes of a stream left our memory; gives credit back in lots of half a window: True when it did."""
        stream = self.streams.get(number)
        if stream is None:
            return False
        amount = stream.consumed(size)
        if not amount:
            return False
        if stream.wants_growth():
            extra = max(0, min(self._growth, stream.window, self.limits.largest_window - stream.window))
            self._growth -= extra
            stream.window += extra
            amount += extra
        stream.grant(amount)
        self._writer.frame(_CREDIT, number, frames.CREDIT.pack(amount))
        return True

    def ping(self, payload: bytes) -> None:
        """Ask for a sign of life; `payload` is 8 bytes and comes back in PongReceived."""
        self._writer.frame(Kind.PING, 0, payload)

    def control(self, message: Mapping[str, Any]) -> None:
        """Send one JSON object beside the streams."""
        payload = frames.pack_object(message)
        if len(payload) > self.limits.control:
            raise LocalProtocolError("control message too long")
        for start in range(0, len(payload), MAX_PAYLOAD):
            part = payload[start : start + MAX_PAYLOAD]
            more = Flag.MORE if start + MAX_PAYLOAD < len(payload) else 0
            self._writer.frame(Kind.CONTROL, 0, part, more)

    def close(self, reason: Reason, text: str = "") -> None:
        """End the connection and say why; no-op when it is over."""
        if self.state not in _OVER:
            self._writer.frame(Kind.CLOSE, 0, frames.reason_payload(reason, text))
            self._writer.close()
            self.state = ConnectionState.CLOSING
            self._forget_all()

    # --- bytes in ------------------------------------------------------------------------------------------

    def receive(self, data: memoryview) -> Iterator[Event]:
        """Turn bytes into events; take all of them. Views in them live until the caller reuses the buffer.

        The state moves with the iterator: when an event is handed out, what follows it has not happened yet, so a verb
        called for it is judged by what the peer had said up to there. Raises RemoteProtocolError on a violation, after
        the events before it: CLOSE is queued then.
        """
        return self._reader.read(data)

    def _begin(self, kind: int, flags: int, number: int, size: int) -> Fate:
        """A header was read: check it, and say what becomes of its payload."""
        try:
            if kind == DATA and self.state is _OPEN:
                stream = self.streams.get(number) or self._known(number)
                if stream is None:
                    return SKIP
                stream.take(size)
                return PASS
            return self._judge(kind, flags, number, size)
        except RemoteProtocolError as error:
            self._violated(error)
            raise

    def _judge(self, kind: int, flags: int, number: int, size: int) -> Fate:
        if self.state is not _OPEN:
            if self.state in _OVER:
                return SKIP
            if kind not in (Kind.HELLO, Kind.CLOSE):
                raise RemoteProtocolError(f"frame kind {kind} before HELLO")
        if kind in _HANDLERS:
            if size > LONGEST_PAYLOAD.get(kind, OTHERS_LONGEST):
                raise RemoteProtocolError(f"{Kind(kind).name} of {size} bytes")
            if (number != 0) != (kind in frames.STREAM_KINDS):
                raise RemoteProtocolError(f"{Kind(kind).name} on stream {number}")
            return GATHER
        if not flags & Flag.OPTIONAL:
            raise RemoteProtocolError(f"unknown frame kind {kind}")
        return SKIP

    def _complete(self, kind: int, flags: int, number: int, payload: memoryview) -> Event | None:
        """All of a frame is there."""
        if self.state is not _OPEN and self.state in _OVER:
            return None
        try:
            return _HANDLERS[kind](self, number, flags, payload)
        except RemoteProtocolError as error:
            self._violated(error)
            raise

    def _violated(self, error: RemoteProtocolError) -> None:
        self.close(Reason.PROTOCOL, str(error))
        self.state = ConnectionState.CLOSED

    # --- one handler per kind ------------------------------------------------------------------------------

    def _on_hello(self, _: int, __: int, payload: memoryview) -> Event:
        if self.state is not ConnectionState.GREETING:
            raise RemoteProtocolError("second HELLO")
        theirs = greeting.read(payload)
        self.version, self.features = self._greeting.meet(theirs)
        self._their_window = theirs.window
        self.state = ConnectionState.OPEN
        return HelloReceived(theirs.session, self.version, self.features)

    def _on_open(self, number: int, __: int, payload: memoryview) -> Event | None:
        if number % 2 == self._next % 2 or number <= self._highest_theirs:
            raise RemoteProtocolError(f"OPEN of stream {number}")
        self._highest_theirs = number
        target = frames.read_object(payload, "OPEN")
        self._writer.bound_answers()
        if self._theirs >= self.limits.streams:
            text = f"{self.limits.streams} streams are open"
            self._writer.answer(Kind.RESET, number, frames.reason_payload(Reason.MEMORY, text))
            return None
        self._theirs += 1
        self.streams[number] = Stream(number, _OFFERED, self._their_window, self.limits.window)
        return StreamOpened(number, target)

    def _on_accept(self, number: int, __: int, payload: memoryview) -> Event | None:
        stream = self._known(number)
        if stream is None:
            return None
        stream.got(_GET_ACCEPT)
        return StreamAccepted(number, frames.read_object(payload, "ACCEPT"))

    def _on_credit(self, number: int, __: int, payload: memoryview) -> Event | None:
        if len(payload) != frames.CREDIT.size:
            raise RemoteProtocolError(f"CREDIT of {len(payload)} bytes")
        stream = self._known(number)
        if stream is None:
            return None
        stream.add_credit(frames.CREDIT.unpack(payload)[0])
        return Credited(number)

    def _on_end(self, number: int, __: int, payload: memoryview) -> Event | None:
        stream = self._known(number)
        if payload:
            raise RemoteProtocolError("END with a payload")
        if stream is None:
            return None
        stream.got(_GET_END)
        self._forget_if_closed(stream)
        return StreamEnded(number)

    def _on_reset(self, number: int, __: int, payload: memoryview) -> Event | None:
        stream = self._known(number)
        if stream is None:
            return None
        stream.got(_GET_RESET)
        self._forget_if_closed(stream)
        return StreamReset(number, *frames.read_reason(payload))

    def _on_ping(self, _: int, __: int, payload: memoryview) -> None:
        if len(payload) != frames.PING_SIZE:
            raise RemoteProtocolError(f"PING of {len(payload)} bytes")
        self._writer.bound_answers()
        self._writer.answer(Kind.PONG, 0, bytes(payload))

    def _on_pong(self, _: int, __: int, payload: memoryview) -> Event:
        if len(payload) != frames.PING_SIZE:
            raise RemoteProtocolError(f"PONG of {len(payload)} bytes")
        return PongReceived(bytes(payload))

    def _on_control(self, _: int, flags: int, payload: memoryview) -> Event | None:
        self._control += payload
        if len(self._control) > self.limits.control:
            raise RemoteProtocolError("CONTROL message too long")
        if flags & Flag.MORE:
            return None
        message, self._control = self._control, bytearray()
        return ControlReceived(frames.read_object(message, "CONTROL"))

    def _on_close(self, _: int, __: int, payload: memoryview) -> Event:
        self.state = ConnectionState.CLOSED
        self._writer.close()
        self._forget_all()
        return Closed(*frames.read_reason(payload))

    # --- inner ---------------------------------------------------------------------------------------------

    def _charge(self, number: int, size: int) -> None:
        if size > MAX_PAYLOAD:
            raise LocalProtocolError(f"stream {number}: {size} bytes in one frame")
        self._alive(number).spend(size)

    def _alive(self, number: int) -> Stream:
        try:
            return self.streams[number]
        except KeyError:
            raise LocalProtocolError(f"stream {number} is over") from None

    def _known(self, number: int) -> Stream | None:
        """The stream of a frame of the peer's; None for one that is over here (its frames crossed ours)."""
        stream = self.streams.get(number)
        if stream is None:
            ours = number % 2 == self._next % 2
            if number == 0 or (number >= self._next and ours) or (number > self._highest_theirs and not ours):
                raise RemoteProtocolError(f"stream {number} was never opened")
        return stream

    def _forget_all(self) -> None:
        for number in self.streams:
            self._reader.drop(number)
        self.streams.clear()

    def _forget_if_closed(self, stream: Stream) -> None:
        if stream.halves is _BOTH_ENDED:
            del self.streams[stream.number]
            self._reader.drop(stream.number)
            self._growth += stream.window - self.limits.window
            if stream.number % 2 != self._next % 2:
                self._theirs -= 1


_HANDLERS: dict[int, Callable[[Connection, int, int, memoryview], Event | None]] = {
    Kind.HELLO: Connection._on_hello,
    Kind.OPEN: Connection._on_open,
    Kind.ACCEPT: Connection._on_accept,
    Kind.CREDIT: Connection._on_credit,
    Kind.END: Connection._on_end,
    Kind.RESET: Connection._on_reset,
    Kind.PING: Connection._on_ping,
    Kind.PONG: Connection._on_pong,
    Kind.CONTROL: Connection._on_control,
    Kind.CLOSE: Connection._on_close,
}
