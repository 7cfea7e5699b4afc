"""Counts the messages of a gRPC stream by their five-byte prefixes; `http2` has one for each direction of a stream."""

from __future__ import annotations

from interceptor.http.exchange import Data

PREFIX = 5  # compressed or not, then four bytes of length


class MessageCounter:
    """Counts whole messages."""

    __slots__ = ("_left", "_prefix", "count")

    def __init__(self) -> None:
        self.count = 0
        self._prefix = b""
        self._left = 0

    def feed(self, data: Data) -> None:
        """Take the next bytes of the body."""
        start, size = 0, len(data)
        while start < size:
            if self._left:
                step = min(self._left, size - start)
                start += step
                self._left -= step
                if not self._left:
                    self.count += 1
                continue
            piece = bytes(data[start : start + PREFIX - len(self._prefix)])
            start += len(piece)
            self._prefix += piece
            if len(self._prefix) == PREFIX:
                self._left = int.from_bytes(self._prefix[1:], "big")
                self._prefix = b""
                if not self._left:
                    self.count += 1
