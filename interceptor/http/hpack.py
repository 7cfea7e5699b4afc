"""Decodes the header blocks of one direction of an HTTP/2 connection (RFC 7541); `http2` has one for each direction.

Every block must pass through here in order, also one nobody wants to see: later blocks refer to it.
"""

from __future__ import annotations

import re
from collections import deque

from interceptor.http.exchange import Pairs, Unreadable
from interceptor.http.huffman import decode as decode_huffman

LARGEST_TABLE = 64 * 1024  # bytes; 4,096 unless the peers agree on more, which few do
MOST_DECODED = 256 * 1024  # bytes of one block's fields that are kept; the rest is decoded and dropped
MOST_REMEMBERED = 32  # blocks whose decoding is kept while the table stays the same
OVERHEAD = 32  # bytes that an entry counts for beside its text (RFC 7541, 4.1)
_ODD_NAME = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9a-z:]")
_ODD_VALUE = re.compile(rb"[\x00\r\n]")

_STATIC_TEXT = """
:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204
|:status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate
|accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control
|content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type
|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since
|last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after
|server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate
"""
STATIC: list[tuple[str, str]] = [
    (name, value) for entry in _STATIC_TEXT.replace("\n", "").split("|") for name, _, value in [entry.partition(" ")]
]
_AFTER_STATIC = len(STATIC) + 1


class Decoder:
    """The state of one direction."""

    __slots__ = ("_limit", "_seen", "_size", "_table", "changed", "doubts")

    def __init__(self) -> None:
        self._table: deque[tuple[str, str]] = deque()  # the newest entry first
        self._size = 0
        self._limit = 4096
        self._seen: dict[bytes, Pairs] = {}
        self.changed = False
        self.doubts: list[str] = []  # of the last block

    def decode(self, block: bytes) -> Pairs:
        """The fields of a whole block; the list is shared, don't change it. Raises Unreadable."""
        if self.doubts:
            self.doubts = []
        seen = self._seen.get(block)
        if seen is not None:
            return seen
        self.changed = False
        fields = self._fields(block)
        if self.changed:
            self._seen.clear()
        elif not self.doubts:
            if len(self._seen) >= MOST_REMEMBERED:
                self._seen.clear()
            self._seen[block] = fields
        return fields

    def _fields(self, block: bytes) -> Pairs:
        fields: Pairs = []
        room = MOST_DECODED
        at, end = 0, len(block)
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 0x7F)
                field = self._entry(index)
            elif first & 0x60 == 0x20:
                limit, at = _integer(block, at, 0x1F)
                self._resize(limit)
                continue
            else:
                stored = bool(first & 0x40)
                index, at = _integer(block, at, 0x3F if stored else 0x0F)
                if index:
                    name = self._entry(index)[0]
                else:
                    raw, at = _string(block, at)
                    if _ODD_NAME.search(raw):
                        self.doubts.append(f"a header named {raw[:40].decode('latin-1')!r}")
                    name = raw.decode("latin-1")
                raw, at = _string(block, at)
                if _ODD_VALUE.search(raw):
                    self.doubts.append(f"a line end or NUL in {name[:40]!r}")
                field = name, raw.decode("latin-1")
                if stored:
                    self._store(field)
            room -= len(field[0]) + len(field[1]) + OVERHEAD
            if room > 0:
                fields.append(field)
        if room <= 0:
            self.doubts.append(f"more than {MOST_DECODED >> 10} KiB of headers; the rest is not shown")
        return fields

    def _entry(self, index: int) -> tuple[str, str]:
        if 0 < index < _AFTER_STATIC:
            return STATIC[index - 1]
        if not 0 < index < _AFTER_STATIC + len(self._table):
            raise Unreadable("a header refers to one we have not seen")
        return self._table[index - _AFTER_STATIC]

    def _store(self, field: tuple[str, str]) -> None:
        self.changed = True
        self._table.appendleft(field)
        self._size += len(field[0]) + len(field[1]) + OVERHEAD
        self._shrink()

    def _resize(self, limit: int) -> None:
        if limit > LARGEST_TABLE:
            raise Unreadable(f"a header table of {limit} bytes")
        self.changed = True
        self._limit = limit
        self._shrink()

    def _shrink(self) -> None:
        while self._size > self._limit:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + OVERHEAD


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """An integer whose first bits are under `mask` (RFC 7541, 5.1), and where it ends."""
    try:
        value = block[at] & mask
        at += 1
        if value < mask:
            return value, at
        for shift in (0, 7, 14, 21):
            byte = block[at]
            at += 1
            value += (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
    except IndexError:
        raise Unreadable("a header block breaks off") from None
    raise Unreadable("a header with a huge number in it")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    if at >= len(block):
        raise Unreadable("a header block breaks off")
    coded = block[at] & 0x80
    size, at = _integer(block, at, 0x7F)
    text = block[at : at + size]
    if len(text) < size:
        raise Unreadable("a header block breaks off")
    return decode_huffman(text) if coded else text, at + size
