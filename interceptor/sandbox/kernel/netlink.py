"""Netlink messages: `links`, `rules`, `nfqueue` and `sockdiag` build theirs with it, `child` sends them.

Spoken directly because the few messages needed are smaller than any library that speaks them, because `nft` and `ip`
are missing on many machines, and because starting them costs more than the whole sandbox. Sources: linux/netlink.h,
linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence

ROUTE = 0
SOCK_DIAG = 4
NETFILTER = 12

REQUEST = 0x1
ACK = 0x4
DUMP = 0x300
CREATE = 0x400
APPEND = 0x800

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NESTED = 0x8000
_ERROR = 2
_DONE = 3
_ROOM = 256 * 1024


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute of attributes."""
    return attribute(kind | _NESTED, b"".join(inner))


def text(kind: int, value: str) -> bytes:
    """A zero-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def big(kind: int, value: int) -> bytes:
    """A 32-bit number in network order, as netfilter wants them."""
    return attribute(kind, struct.pack("!I", value))


def message(kind: int, flags: int, body: bytes, number: int = 0) -> bytes:
    """A whole message; `number` comes back in its answer."""
    return _HEADER.pack(16 + len(body), kind, flags, number, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Split what a read gave into (kind, number, body)."""
    start = 0
    while start + 16 <= len(data):
        length, kind, _, number, _ = _HEADER.unpack_from(data, start)
        yield kind, number, data[start + 16 : start + length]
        start += (length + 3) & ~3


def attributes(data: bytes, start: int) -> dict[int, bytes]:
    """Read the attributes from `start` on; of two of a kind the last."""
    found: dict[int, bytes] = {}
    while start + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


def open_socket(family: int) -> socket.socket:
    """Make a netlink socket; it stays in the network namespace in which it was made, whoever uses it."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
    sock.bind((0, 0))
    return sock


def request(sock: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """Send one message and wait for the kernel's word. Raises OSError with the kernel's errno."""
    sock.send(message(kind, flags | REQUEST | ACK, body, 1))
    _acknowledged(sock, {1})


def request_all(sock: socket.socket, sent: Sequence[bytes], numbers: set[int]) -> None:
    """Send messages in one piece (a netfilter batch must be) and wait until all `numbers` are acknowledged."""
    sock.send(b"".join(sent))
    _acknowledged(sock, numbers)


def dump(sock: socket.socket, kind: int, body: bytes) -> list[bytes]:
    """Ask for all there is of something; the bodies of the answers."""
    sock.send(message(kind, REQUEST | DUMP, body, 1))
    found: list[bytes] = []
    while True:
        for answer, _, content in messages(sock.recv(_ROOM)):
            if answer == _DONE:
                return found
            _raise_error(answer, content)
            found.append(content)


def _acknowledged(sock: socket.socket, numbers: set[int]) -> None:
    while numbers:
        for kind, number, body in messages(sock.recv(_ROOM)):
            _raise_error(kind, body)
            if kind == _ERROR:
                numbers = numbers - {number}


def _raise_error(kind: int, body: bytes) -> None:
    if kind == _ERROR:
        (code,) = struct.unpack_from("=i", body)
        if code:
            raise OSError(-code, os.strerror(-code))
