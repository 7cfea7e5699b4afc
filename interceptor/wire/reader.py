"""Cuts bytes into frames for `connection`: DATA in pieces as they arrive, small payloads whole, unknown kinds not at all.

It yields the events itself, asking its connection what a frame means: one generator a read, not two.
Nothing is gathered but a header and the payload of one small frame, whose size `Begin` has approved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto

from interceptor.wire.events import DataReceived, Event
from interceptor.wire.frames import HEADER, HEADER_SIZE
from interceptor.wire.layer import EMPTY


class Fate(Enum):
    """What becomes of a payload."""

    PASS = auto()  # handed on piece by piece
    GATHER = auto()  # handed on whole
    SKIP = auto()


PASS, GATHER, SKIP = Fate.PASS, Fate.GATHER, Fate.SKIP

Begin = Callable[[int, int, int, int], Fate]
"""Called with kind, flags, stream and payload size of each frame before its payload; raises RemoteProtocolError."""

Complete = Callable[[int, int, int, memoryview], "Event | None"]
"""Called with kind, flags, stream and the payload of each gathered frame, to be copied; raises RemoteProtocolError."""


class Reader:
    """Where the byte stream stands between two reads."""

    def __init__(self, begin: Begin, complete: Complete) -> None:
        self._begin = begin
        self._complete = complete
        self._header = bytearray()  # an incomplete header
        self._kind, self._flags, self._stream, self._left = 0, 0, 0, 0
        self._fate = SKIP
        self._payload = bytearray()

    @property
    def held(self) -> int:
        """Bytes kept from one read to the next."""
        return len(self._header) + len(self._payload)

    def drop(self, stream: int) -> None:
        """A stream is over here: what is still to come of a frame of it is passed over."""
        if self._left and self._fate is PASS and self._stream == stream:
            self._fate = SKIP

    def read(self, data: memoryview) -> Iterator[Event]:
        """Yield what `data` holds. Each frame is begun only after the events before it were taken from the iterator."""
        position, size = 0, len(data)
        while position < size:
            left = self._left
            if not left:  # between frames: a header comes next
                if not self._header and size - position >= HEADER_SIZE:
                    kind, flags, left, stream = HEADER.unpack_from(data, position)
                    position += HEADER_SIZE
                    fate = self._begin(kind, flags, stream, left)
                    stop = position + left
                    if fate is PASS and stop <= size:  # by far the most: all of a DATA frame, so nothing to remember
                        if left:
                            yield DataReceived(stream, data[position:stop])
                            position = stop
                        continue
                    if fate is GATHER and stop <= size:  # a whole frame of another kind: nothing to keep either
                        event = self._complete(kind, flags, stream, data[position:stop])
                        position = stop
                        if event is not None:
                            yield event
                        continue
                else:
                    missing = HEADER_SIZE - len(self._header)
                    self._header += data[position : position + missing]
                    position += missing
                    if len(self._header) < HEADER_SIZE:
                        return
                    kind, flags, left, stream = HEADER.unpack(self._header)
                    self._header.clear()
                    fate = self._begin(kind, flags, stream, left)
                self._fate = fate
                self._kind, self._flags, self._stream, self._left = kind, flags, stream, left
                if not left:
                    if fate is GATHER:  # an empty payload is complete at once
                        event = self._complete(kind, flags, stream, EMPTY)
                        if event is not None:
                            yield event
                    continue
            part = data[position : position + left]
            position += len(part)
            self._left -= len(part)
            if self._fate is PASS:
                yield DataReceived(self._stream, part)
            elif self._fate is GATHER:
                self._payload += part
                if not self._left:
                    payload, self._payload = self._payload, bytearray()
                    event = self._complete(self._kind, self._flags, self._stream, memoryview(payload))
                    if event is not None:
                        yield event
