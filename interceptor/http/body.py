"""Counts the bodies of HTTP/1 messages as they pass, without copying them; `http1` makes one for each that comes."""

from __future__ import annotations

import re
from collections.abc import Callable

from interceptor.http.exchange import MOST_HEAD, Data, Unreadable

MOST_LINE = 4096  # of a chunk's size line with its extensions
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")

Keep = Callable[[Data], None]


class Body:
    """A body of known length, or one that lasts as long as the connection (`left` is None)."""

    __slots__ = ("done", "doubts", "keep", "left", "size", "trailers")

    def __init__(self, left: int | None, keep: Keep | None = None) -> None:
        self.left = left
        self.size = 0
        self.done = False
        self.keep = keep
        self.doubts: list[str] = []
        self.trailers = b""

    def feed(self, data: Data, start: int) -> int:
        """Take what belongs to the body from `data`; returns where it ends."""
        end = len(data)
        if self.left is not None:
            end = min(end, start + self.left)
            self.left -= end - start
            self.done = not self.left
        self.size += end - start
        if self.keep is not None:
            self.keep(data[start:end])
        return end


class ChunkedBody(Body):
    """A body in chunks. `left` counts down within a chunk; 0 between them."""

    __slots__ = ("_after", "_last", "_line")

    def __init__(self, keep: Keep | None = None) -> None:
        super().__init__(0, keep)
        self._line = b""  # a size line or trailers, so far
        self._after = False  # the line end after a chunk is due
        self._last = False  # the chunk of size 0 was seen: trailers

    def feed(self, data: Data, start: int) -> int:
        """See Body."""
        size = len(data)
        while start < size and not self.done:
            if self.left:
                end = min(size, start + self.left)
                self.left -= end - start
                self.size += end - start
                self._after = not self.left
                if self.keep is not None:
                    self.keep(data[start:end])
                start = end
            else:
                start = self._read_line(data, start)
        return start

    def _read_line(self, data: Data, start: int) -> int:
        before = len(self._line)
        text = self._line + bytes(data[start : start + MOST_LINE])
        end = text.find(b"\n", before)
        if end < 0:
            self._line = text
            if len(text) > (MOST_HEAD if self._last else MOST_LINE):
                raise Unreadable("a chunk's head or trailers without an end")
            return min(len(data), start + MOST_LINE)
        line, self._line = text[: end + 1], b""
        if not line.endswith(b"\r\n"):
            self._doubt("a chunk's line ends in a bare LF")
            line = line[:-1] + b"\r\n"
        self._take(line[:-2])
        return start + end + 1 - before

    def _take(self, line: bytes) -> None:
        if self._last:
            if not line:
                self.done = True
            elif len(self.trailers) + len(line) > MOST_HEAD:
                raise Unreadable("trailers without an end")
            else:
                self.trailers += b"\r\n" + line
        elif self._after:
            if line:
                raise Unreadable("a chunk is longer than its size says")
            self._after = False
        else:
            digits, semicolon, extension = line.partition(b";")
            if digits != digits.strip(b" \t"):
                self._doubt("blanks beside a chunk's size")
                digits = digits.strip(b" \t")
            if _SIZE.fullmatch(digits) is None:
                raise Unreadable(f"a chunk of size {line[:20].decode('latin-1')!r}")
            if semicolon and b"\r" in extension:
                self._doubt("a bare CR in a chunk's extension")
            self.left = int(digits, 16)
            self._last = not self.left

    def _doubt(self, text: str) -> None:
        if text not in self.doubts:
            self.doubts.append(text)
