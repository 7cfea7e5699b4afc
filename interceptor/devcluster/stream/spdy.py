"""SPDY/3.1 as far as kubectl's port-forward speaks it: bytes to frames and back. Pure; used by `portforward`.

kubectl has no other way: since 1.31 it sends these frames inside binary WebSocket messages. Flow control is left out,
as in the library on the other side.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 1
PROTOCOL_ERROR, CANCEL = 1, 5
_LARGEST = 1 << 20

# The compression dictionary of the SPDY/3 specification: words with a length in front, then plain text.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200+OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(
        struct.pack(">I", len(word)) + word.encode() for word in (item.replace("+", " ") for item in _WORDS.split())
    )
    + _TEXT.encode()
)


class SpdyError(Exception):
    """The other side broke the protocol; the connection ends."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: data (kind 0) or control."""

    kind: int
    stream: int
    flags: int = 0
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    code: int = 0


class Codec:
    """One end of a connection; the header blocks of each direction share one compressor."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete now."""
        self._buffer += data
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[5:8], "big")
            if length > _LARGEST:
                raise SpdyError(f"a frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                return
            head, payload = bytes(self._buffer[:8]), bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if head[0] & 0x80:
                yield self._control(int.from_bytes(head[2:4], "big"), head[4], payload)
            else:
                yield Frame(0, int.from_bytes(head[:4], "big"), head[4], payload)

    def _control(self, kind: int, flags: int, payload: bytes) -> Frame:
        stream = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF if len(payload) >= 4 else 0
        if kind in (SYN_STREAM, SYN_REPLY, HEADERS):
            block = payload[10:] if kind == SYN_STREAM else payload[4:]
            return Frame(kind, stream, flags, headers=self._headers(block))
        code = int.from_bytes(payload[4:8], "big") if kind == RST_STREAM else 0
        return Frame(kind, stream, flags, payload, code=code)

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, _LARGEST)
            (count,) = struct.unpack_from(">I", plain)
            at, headers = 4, {}
            for _ in range(count):
                parts = []
                for _ in range(2):
                    (length,) = struct.unpack_from(">I", plain, at)
                    parts.append(plain[at + 4 : at + 4 + length].decode())
                    at += 4 + length
                headers[parts[0].lower()] = parts[1]
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"unreadable headers: {error}") from error
        return headers

    def _pack(self, headers: dict[str, str]) -> bytes:
        plain = struct.pack(">I", len(headers)) + b"".join(
            struct.pack(">I", len(text)) + text
            for pair in headers.items()
            for text in (pair[0].encode(), pair[1].encode())
        )
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    @staticmethod
    def _frame(kind: int, flags: int, payload: bytes) -> bytes:
        return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload

    def syn_stream(self, stream: int, headers: dict[str, str]) -> bytes:
        """Open a stream (tests play the client)."""
        return self._frame(SYN_STREAM, 0, struct.pack(">IIH", stream, 0, 0) + self._pack(headers))

    def syn_reply(self, stream: int) -> bytes:
        """Accept a stream."""
        return self._frame(SYN_REPLY, 0, struct.pack(">I", stream) + self._pack({}))

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        """Send data, perhaps the last."""
        return struct.pack(">II", stream, (FIN if fin else 0) << 24 | len(data)) + data

    def reset(self, stream: int, code: int = CANCEL) -> bytes:
        """End a stream at once."""
        return self._frame(RST_STREAM, 0, struct.pack(">II", stream, code))

    def ping(self, number: bytes) -> bytes:
        """Answer a ping with its own number."""
        return self._frame(PING, 0, number)
