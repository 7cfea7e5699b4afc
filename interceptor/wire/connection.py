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

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from interceptor.wire import frames
from interceptor.wire.errors import LocalProtocolError, RemoteProtocolError
from interceptor.wire.events import (
    Closed,
    ControlReceived,
    Credited,
    DataReceived,
    Event,
    HelloReceived,
    PongReceived,
    StreamAccepted,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from interceptor.wire.frames import HEADER, HEADER_SIZE, MAX_PAYLOAD, Flag, Kind
from interceptor.wire.reasons import Reason
from interceptor.wire.states import ConnectionState, Halves, Setup, Signal
from interceptor.wire.stream import Stream

VERSION = 1
FEATURES = frozenset({"hold", "outbound"})
_BUFFER = {Kind.OPEN: 8192, Kind.CONTROL: MAX_PAYLOAD, Kind.HELLO: 8192}    # longest payload by kind, else 2 KiB


class Role(Enum):
    """Which end we are; says which stream numbers are ours."""

    CLIENT = 1
    AGENT = 2


class Limits(NamedTuple):
    """How much one connection may hold. Bytes, except `streams`."""

    window: int = 256 * 1024            # a stream's first credit: enough for 1 ms at 250 MB/s
    largest_window: int = 1024 * 1024   # full speed at 30 ms x 12.5 MB/s twice over (performance.md, 4)
    growth: int = 24 * 1024 * 1024      # all growth above first windows together
    streams: int = 20_000               # opened by the peer and alive at once
    control: int = 4 * 1024 * 1024      # one CONTROL message; an environment may hold 2 MB
    answers: int = 1024 * 1024          # PONG and RESET that the peer makes us queue and does not read


class Connection:
    """One tunnel's protocol state at one end. Not thread-safe; does no I/O."""

    def __init__(
        self, role: Role, session: str, *, limits: Limits = Limits(),  # noqa: B008  immutable
        features: frozenset[str] = FEATURES, version: int = VERSION,
    ) -> None:
        self.state = ConnectionState.GREETING
        self.limits = limits
        self.streams: dict[int, Stream] = {}
        self.version = version
        self.features = features
        self._session = session
        self._next = 1 if role is Role.CLIENT else 2
        self._highest_theirs = 0
        self._theirs = 0                                # alive streams that the peer opened
        self._their_window = 0
        self._growth = limits.growth
        self._outgoing = bytearray()
        self._answers = 0                               # bytes in _outgoing that answer the peer's frames
        self._header = bytearray()                      # an incomplete header
        self._kind, self._flags, self._stream, self._left = 0, 0, 0, 0
        self._payload: bytearray | None = None          # gathers a small payload; None while DATA or skipped
        self._control = bytearray()                     # earlier parts of a CONTROL message
        self._queue(Kind.HELLO, 0, frames.pack_object({
            "version": version, "session": session, "features": sorted(features), "window": limits.window}))

    # --- bytes out -----------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes that `take` would hand out."""
        return len(self._outgoing)

    def take(self) -> bytearray:
        """Hand over the queued frames; the caller sends all of them."""
        out, self._outgoing, self._answers = self._outgoing, bytearray(), 0
        return out

    # --- verbs ---------------------------------------------------------------------------------------------

    def open(self, target: Mapping[str, Any]) -> int:
        """Ask the peer to connect `target`; data may follow at once. Returns the stream's number."""
        if self.state is not ConnectionState.OPEN or self._next > 0x7FFF_FFFF:
            raise LocalProtocolError(f"open while {self.state.name}")
        payload = frames.pack_object(target)
        if len(payload) > _BUFFER[Kind.OPEN]:
            raise LocalProtocolError("target too long")
        number, self._next = self._next, self._next + 2
        self.streams[number] = Stream(number, Setup.OPENING, self._their_window, self.limits.window)
        self._queue(Kind.OPEN, number, payload)
        return number

    def accept(self, number: int, info: Mapping[str, Any] | None = None) -> None:
        """Say that a stream of the peer's is connected."""
        self._alive(number).sent(Signal.SEND_ACCEPT)
        self._queue(Kind.ACCEPT, number, frames.pack_object(info) if info else b"")

    def sendable(self, number: int) -> int:
        """How many bytes one DATA frame may carry now; 0 when credit is used up or the stream can't send."""
        stream = self.streams.get(number)
        if stream is None or not stream.may_send():
            return 0
        return min(stream.credit, MAX_PAYLOAD)

    def send(self, number: int, data: bytes | bytearray | memoryview) -> None:
        """Queue a copy of at most `sendable` bytes."""
        self._charge(number, len(data))
        self._outgoing += HEADER.pack(Kind.DATA, 0, len(data), number)
        self._outgoing += data

    def head(self, number: int, buffer: bytearray | memoryview, size: int) -> None:
        """Write a DATA header into the first 8 bytes of `buffer`, whose next `size` bytes are the payload.

        The caller sends header and payload itself, after whatever `take` hands out: no copy, no join.
        """
        self._charge(number, size)
        HEADER.pack_into(buffer, 0, Kind.DATA, 0, size, number)

    def end(self, number: int) -> None:
        """Half-close: nothing more from us on this stream."""
        stream = self._alive(number)
        stream.sent(Signal.SEND_END)
        self._queue(Kind.END, number)
        self._forget_if_closed(stream)

    def reset(self, number: int, reason: Reason, text: str = "") -> None:
        """End a stream in both directions; no-op if it is already over."""
        stream = self.streams.get(number)
        if stream is not None:
            stream.sent(Signal.SEND_RESET)
            self._queue(Kind.RESET, number, frames.reason_payload(reason, text))
            self._forget_if_closed(stream)

    def consumed(self, number: int, size: int) -> None:
        """`size` bytes of a stream left our memory; gives credit back in lots of half a window."""
        stream = self.streams.get(number)
        if stream is None:
            return
        stream.held -= size
        stream.returnable += size
        if stream.held < 0:
            raise LocalProtocolError(f"stream {number}: consumed more than received")
        if stream.returnable * 2 < stream.window or stream.halves in (Halves.GOT_END, Halves.CLOSED):
            return
        keeps_up, ran_dry = stream.held == 0, stream.granted * 2 <= stream.window
        if keeps_up and ran_dry:
            extra = min(self._growth, stream.window, self.limits.largest_window - stream.window)
            self._growth -= extra
            stream.window += extra
            stream.returnable += extra
        stream.granted += stream.returnable
        self._queue(Kind.CREDIT, number, frames.CREDIT.pack(stream.returnable))
        stream.returnable = 0

    def ping(self, payload: bytes) -> None:
        """Ask for a sign of life; `payload` is 8 bytes and comes back in PongReceived."""
        self._queue(Kind.PING, 0, payload)

    def control(self, message: Mapping[str, Any]) -> None:
        """Send one JSON object beside the streams."""
        payload = frames.pack_object(message)
        if len(payload) > self.limits.control:
            raise LocalProtocolError("control message too long")
        for start in range(0, len(payload), MAX_PAYLOAD):
            part = payload[start:start + MAX_PAYLOAD]
            more = Flag.MORE if start + MAX_PAYLOAD < len(payload) else 0
            self._queue(Kind.CONTROL, 0, part, more)

    def close(self, reason: Reason, text: str = "") -> None:
        """End the connection and say why; no-op when it is over."""
        if self.state in (ConnectionState.GREETING, ConnectionState.OPEN):
            self._queue(Kind.CLOSE, 0, frames.reason_payload(reason, text))
            self.state = ConnectionState.CLOSING
            self.streams.clear()

    # --- bytes in ------------------------------------------------------------------------------------------

    def receive(self, data: memoryview) -> list[Event]:
        """Turn bytes into events; views in them live until the caller reuses the buffer.

        Raises RemoteProtocolError on a violation: CLOSE is queued, the events before it are in the error's `events`.
        """
        events: list[Event] = []
        try:
            self._read(data, events)
        except RemoteProtocolError as error:
            self.close(Reason.PROTOCOL, str(error))
            self.state = ConnectionState.CLOSED
            error.events = events
            raise
        return events

    def _read(self, data: memoryview, events: list[Event]) -> None:
        position, size = 0, len(data)
        while position < size:
            if self.state in (ConnectionState.CLOSING, ConnectionState.CLOSED):
                return
            if not self._left:                                      # between frames: a header comes next
                if not self._header and size - position >= HEADER_SIZE:
                    header = HEADER.unpack_from(data, position)
                    position += HEADER_SIZE
                else:
                    missing = HEADER_SIZE - len(self._header)
                    self._header += data[position:position + missing]
                    position += missing
                    if len(self._header) < HEADER_SIZE:
                        return
                    header = HEADER.unpack(self._header)
                    self._header.clear()
                self._kind, self._flags, self._left, self._stream = header
                self._begin()
                if self._left:
                    continue
                if self._payload is not None:                       # an empty payload is complete at once
                    self._complete(events)
                continue
            part = data[position:position + self._left]
            position += len(part)
            self._left -= len(part)
            if self._payload is not None:
                self._payload += part
                if not self._left:
                    self._complete(events)
            elif self._kind == Kind.DATA and self._stream in self.streams:
                events.append(DataReceived(self._stream, part))

    def _begin(self) -> None:
        """A header was read: check it, and say where its payload goes."""
        kind, number, size = self._kind, self._stream, self._left
        self._payload = None
        if self.state is ConnectionState.GREETING and kind not in (Kind.HELLO, Kind.CLOSE):
            raise RemoteProtocolError(f"frame kind {kind} before HELLO")
        if kind == Kind.DATA:
            stream = self._known(number)
            if stream is not None:
                stream.got(Signal.GET_DATA)
                stream.take(size)
        elif kind in _HANDLERS:
            if size > _BUFFER.get(Kind(kind), 2048):
                raise RemoteProtocolError(f"{Kind(kind).name} of {size} bytes")
            if (number != 0) != (kind in frames.STREAM_KINDS):
                raise RemoteProtocolError(f"{Kind(kind).name} on stream {number}")
            self._payload = bytearray()
        elif not self._flags & Flag.OPTIONAL:
            raise RemoteProtocolError(f"unknown frame kind {kind}")

    def _complete(self, events: list[Event]) -> None:
        payload, self._payload = self._payload, None
        assert payload is not None
        event = _HANDLERS[self._kind](self, self._stream, bytes(payload))
        if event is not None:
            events.append(event)

    # --- one handler per kind ------------------------------------------------------------------------------

    def _on_hello(self, _: int, payload: bytes) -> Event:
        if self.state is not ConnectionState.GREETING:
            raise RemoteProtocolError("second HELLO")
        hello = frames.read_object(payload, "HELLO")
        version, session, window = hello.get("version"), hello.get("session"), hello.get("window")
        features = hello.get("features")
        if not isinstance(version, int) or version < 1 or not isinstance(session, str):
            raise RemoteProtocolError("HELLO without version or session")
        if not isinstance(window, int) or not 0 < window <= frames.MAX_CREDIT:
            raise RemoteProtocolError("HELLO without window")
        if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
            raise RemoteProtocolError("HELLO without features")
        if session != self._session:
            raise RemoteProtocolError(f"HELLO of session {session[:64]!r}, this is {self._session!r}")
        self.version = min(self.version, version)
        self.features &= frozenset(features)
        self._their_window = window
        self.state = ConnectionState.OPEN
        return HelloReceived(session, self.version, self.features)

    def _on_open(self, number: int, payload: bytes) -> Event | None:
        if number % 2 == self._next % 2 or number <= self._highest_theirs:
            raise RemoteProtocolError(f"OPEN of stream {number}")
        self._highest_theirs = number
        target = frames.read_object(payload, "OPEN")
        if self._theirs >= self.limits.streams:
            text = f"{self.limits.streams} streams are open"
            self._answer(Kind.RESET, number, frames.reason_payload(Reason.MEMORY, text))
            return None
        self._theirs += 1
        self.streams[number] = Stream(number, Setup.OFFERED, self._their_window, self.limits.window)
        return StreamOpened(number, target)

    def _on_accept(self, number: int, payload: bytes) -> Event | None:
        stream = self._known(number)
        if stream is None:
            return None
        stream.got(Signal.GET_ACCEPT)
        return StreamAccepted(number, frames.read_object(payload, "ACCEPT"))

    def _on_credit(self, number: int, payload: bytes) -> Event | None:
        if len(payload) != frames.CREDIT.size:
            raise RemoteProtocolError(f"CREDIT of {len(payload)} bytes")
        stream = self._known(number)
        if stream is None:
            return None
        stream.add_credit(frames.CREDIT.unpack(payload)[0])
        return Credited(number)

    def _on_end(self, number: int, payload: bytes) -> Event | None:
        stream = self._known(number)
        if payload:
            raise RemoteProtocolError("END with a payload")
        if stream is None:
            return None
        stream.got(Signal.GET_END)
        self._forget_if_closed(stream)
        return StreamEnded(number)

    def _on_reset(self, number: int, payload: bytes) -> Event | None:
        stream = self._known(number)
        if stream is None:
            return None
        stream.got(Signal.GET_RESET)
        self._forget_if_closed(stream)
        return StreamReset(number, *frames.read_reason(payload))

    def _on_ping(self, _: int, payload: bytes) -> None:
        if len(payload) != frames.PING_SIZE:
            raise RemoteProtocolError(f"PING of {len(payload)} bytes")
        self._answer(Kind.PONG, 0, payload)

    def _on_pong(self, _: int, payload: bytes) -> Event:
        return PongReceived(payload)

    def _on_control(self, _: int, payload: bytes) -> Event | None:
        self._control += payload
        if len(self._control) > self.limits.control:
            raise RemoteProtocolError("CONTROL message too long")
        if self._flags & Flag.MORE:
            return None
        message, self._control = self._control, bytearray()
        return ControlReceived(frames.read_object(message, "CONTROL"))

    def _on_close(self, _: int, payload: bytes) -> Event:
        self.state = ConnectionState.CLOSED
        self.streams.clear()
        return Closed(*frames.read_reason(payload))

    # --- inner ---------------------------------------------------------------------------------------------

    def _queue(self, kind: Kind, stream: int, payload: bytes = b"", flags: int = 0) -> None:
        if self.state not in (ConnectionState.CLOSING, ConnectionState.CLOSED):
            self._outgoing += frames.frame(kind, stream, payload, flags)

    def _answer(self, kind: Kind, stream: int, payload: bytes) -> None:
        """Queue what the peer made us say; a peer that asks and never reads may not fill our memory."""
        self._answers += HEADER_SIZE + len(payload)
        if self._answers > self.limits.answers:
            raise RemoteProtocolError("asks faster than it reads the answers")
        self._queue(kind, stream, payload)

    def _charge(self, number: int, size: int) -> None:
        stream = self._alive(number)
        if not 0 < size <= min(stream.credit, MAX_PAYLOAD):
            raise LocalProtocolError(f"stream {number}: {size} bytes with credit for {stream.credit}")
        stream.sent(Signal.SEND_DATA)
        stream.credit -= size

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

    def _forget_if_closed(self, stream: Stream) -> None:
        if stream.halves is Halves.CLOSED:
            del self.streams[stream.number]
            self._growth += stream.window - self.limits.window
            if stream.number % 2 != self._next % 2:
                self._theirs -= 1


_HANDLERS: dict[int, Callable[[Connection, int, bytes], Event | None]] = {
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
