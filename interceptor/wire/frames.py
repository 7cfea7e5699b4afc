"""How a frame looks: packs headers and small payloads for `connection`, and names what a payload holds.

`reader` takes frames apart again: DATA is passed on as it arrives and never gathered into whole frames.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import Any

from interceptor.wire.errors import RemoteProtocolError
from interceptor.wire.reasons import Reason

HEADER = struct.Struct(">BBHI")
"""kind, flags, payload length, stream: 8 bytes, so that a 64 KiB buffer holds header and payload."""

HEADER_SIZE = HEADER.size
MAX_PAYLOAD = 65_536 - 9 - 4 * 22 - HEADER_SIZE
"""65,431: with its header, four TLS records and a WebSocket's head, a frame fills one message of 64 KiB and no more:
beyond that containerd 1.6 stalls, and a fifth record or a second message would only carry crumbs."""

CREDIT = struct.Struct(">I")
PING_SIZE = 8
MAX_CREDIT = 0x7FFF_FFFF


class Kind(IntEnum):
    """What a frame is; numbers never change their meaning."""

    HELLO = 1
    OPEN = 2
    ACCEPT = 3
    DATA = 4
    CREDIT = 5
    END = 6
    RESET = 7
    PING = 8
    PONG = 9
    CONTROL = 10
    CLOSE = 11


DATA = int(Kind.DATA)
"""For the path that every byte takes: looking a member up in its enum costs as much as unpacking a header."""


class Flag(IntFlag):
    """OPTIONAL: a reader that doesn't know the kind skips it. MORE: the CONTROL message goes on in the next frame."""

    OPTIONAL = 1
    MORE = 2


STREAM_KINDS = frozenset({Kind.OPEN, Kind.ACCEPT, Kind.DATA, Kind.CREDIT, Kind.END, Kind.RESET})


def frame(kind: int, stream: int = 0, payload: bytes = b"", flags: int = 0) -> bytes:
    """One whole frame; `payload` at most MAX_PAYLOAD bytes."""
    return HEADER.pack(kind, flags, len(payload), stream) + payload


def reason_payload(reason: Reason, text: str) -> bytes:
    """The payload of RESET and CLOSE: a byte for machines, then at most 1 KB of text for people."""
    return bytes((reason,)) + text.encode(errors="replace")[:1024]


def read_reason(payload: memoryview) -> tuple[Reason, str]:
    """The reverse of `reason_payload`; a number from a newer peer reads as BROKEN with its text kept."""
    if not payload:
        return Reason.CANCELLED, ""
    try:
        reason = Reason(payload[0])
    except ValueError:
        reason = Reason.BROKEN
    return reason, bytes(payload[1:]).decode(errors="replace")


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)  # `json.dumps` would make one a call


def pack_object(value: Mapping[str, Any]) -> bytes:
    """JSON as HELLO, OPEN, ACCEPT and CONTROL carry it; bytes that are no UTF-8 travel as lone surrogates."""
    return _ENCODER.encode(value).encode(errors="surrogatepass")


def read_object(payload: memoryview | bytearray, what: str) -> dict[str, Any]:
    """The reverse of `pack_object`; anything but a JSON object is the peer's error."""
    try:
        value = json.loads(bytes(payload).decode(errors="surrogatepass")) if payload else {}
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"{what} does not hold JSON") from error
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"{what} does not hold a JSON object")
    return value
