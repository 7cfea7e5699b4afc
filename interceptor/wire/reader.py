"""Cuts bytes into frames for `connection`: DATA in pieces as they arrive, small payloads whole, unknown kinds not at all.

Nothing is gathered but a header and the payload of one small frame, whose size `Begin` has approved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto

from interceptor.wire.frames import HEADER, HEADER_SIZE
from interceptor.wire.layer import EMPTY


class Fate(Enum):
    """What becomes of a payload."""

    PASS = auto()  # handed on piece by piece
    GATHER = auto()  # handed on whole
    SKIP = auto()


Begin = Callable[[int, int, int, int], Fate]
"""Called with kind, flags, stream and payload size of each frame before its payload; raises RemoteProtocolError."""

Part = tuple[int, int, int, memoryview]
"""Kind, flags, stream, and a view of the given data (passed) or the payload (gathered)."""


class Reader:
    """Where the byte stream stands between two reads."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        self._header = bytearray()  # an incomplete header
        self._kind, self._flags, self._stream, self._left = 0, 0, 0, 0
        self._fate = Fate.SKIP
        self._payload = bytearray()

    @property
    def held(self) -> int:
        """Bytes kept from one read to the next."""
        return len(self._header) + len(self._payload)

    def read(self, data: memoryview) -> Iterator[Part]:
        """Yield what `data` holds. Each frame is begun only after the parts before it were taken from the iterator."""
        position, size = 0, len(data)
        while position < size:
            if not self._left:  # between frames: a header comes next
                if not self._header and size - position >= HEADER_SIZE:
                    kind, flags, left, stream = HEADER.unpack_from(data, position)
                    position += HEADER_SIZE
                else:
                    missing = HEADER_SIZE - len(self._header)
                    self._header += data[position : position + missing]
                    position += missing
                    if len(self._header) < HEADER_SIZE:
                        return
                    kind, flags, left, stream = HEADER.unpack(self._header)
                    self._header.clear()
                self._fate = self._begin(kind, flags, stream, left)
                self._kind, self._flags, self._stream, self._left = kind, flags, stream, left
                if not left:
                    if self._fate is Fate.GATHER:  # an empty payload is complete at once
                        yield kind, flags, stream, EMPTY
                    continue
            part = data[position : position + self._left]
            position += len(part)
            self._left -= len(part)
            if self._fate is Fate.PASS:
                yield self._kind, self._flags, self._stream, part
            elif self._fate is Fate.GATHER:
                self._payload += part
                if not self._left:
                    payload, self._payload = self._payload, bytearray()
                    yield self._kind, self._flags, self._stream, memoryview(payload)
