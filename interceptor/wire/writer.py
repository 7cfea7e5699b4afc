"""Queues frames for `connection` until the tunnel's socket takes them; the mirror of `reader`."""

from __future__ import annotations

from interceptor.wire.errors import RemoteProtocolError
from interceptor.wire.frames import DATA, HEADER, HEADER_SIZE


class Writer:
    """Whole frames, in the order in which they were said."""

    def __init__(self, most_answers: int) -> None:
        self.queue = bytearray()  # what `take` would hand out
        self._most_answers = most_answers
        self._answers = 0  # bytes queued that the peer made us say
        self._closed = False

    def take(self) -> bytearray:
        """Hand out everything."""
        out, self.queue, self._answers = self.queue, bytearray(), 0
        return out

    def close(self) -> None:
        """One of both ends has said CLOSE: nothing more goes out."""
        self._closed = True

    def frame(self, kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> None:
        """Queue one frame."""
        if not self._closed:
            self.queue += HEADER.pack(kind, flags, len(payload), stream) + payload

    def answer(self, kind: int, stream: int, payload: bytes) -> None:
        """Queue a frame that the peer made us say, and count it."""
        self._answers += HEADER_SIZE + len(payload)
        self.frame(kind, stream, payload)

    def bound_answers(self) -> None:
        """A peer that asks and never reads may not fill our memory: to be called before it makes us say more."""
        if self._answers > self._most_answers:
            raise RemoteProtocolError("asks faster than it reads the answers")

    def data(self, stream: int, data: bytes | bytearray | memoryview) -> None:
        """Queue a copy as one DATA frame."""
        self.queue += HEADER.pack(DATA, 0, len(data), stream)
        self.queue += data
