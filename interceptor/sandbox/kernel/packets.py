"""Datagrams as they lie on the wire: `datagrams` writes answers into the sandbox as if their sender were there.

Source: RFC 768, 791, 792, 8200, 4443.
"""

from __future__ import annotations

import socket
import struct

_UDP, _ICMP, _ICMP6 = 17, 1, 58
_PORT_UNREACHABLE = {socket.AF_INET: (3, 3), socket.AF_INET6: (1, 4)}

End = tuple[str, int]


def datagram(family: int, source: End, target: End, payload: bytes) -> bytes:
    """An IP packet with one UDP datagram."""
    length = 8 + len(payload)
    head = struct.pack("!HHHH", source[1], target[1], length, 0)
    if family == socket.AF_INET:  # a checksum of 0 says there is none
        return _ip(family, _UDP, source[0], target[0], head + payload)
    ends = socket.inet_pton(family, source[0]) + socket.inet_pton(family, target[0])
    sum_ = _checksum(ends + struct.pack("!IxxxB", length, _UDP) + head + payload) or 0xFFFF
    return _ip(family, _UDP, source[0], target[0], head[:6] + struct.pack("!H", sum_) + payload)


def port_unreachable(family: int, source: End, target: End) -> bytes:
    """What `target` says when nothing listens there for the datagram that `source` sent."""
    refused = _ip(family, _UDP, source[0], target[0], struct.pack("!HHHH", source[1], target[1], 8, 0))
    kind, code = _PORT_UNREACHABLE[socket.AddressFamily(family)]
    body = struct.pack("!BBHI", kind, code, 0, 0) + refused
    pseudo = b""
    if family == socket.AF_INET6:
        ends = socket.inet_pton(family, target[0]) + socket.inet_pton(family, source[0])
        pseudo = ends + struct.pack("!IxxxB", len(body), _ICMP6)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    return _ip(family, _ICMP if family == socket.AF_INET else _ICMP6, target[0], source[0], body)


def _ip(family: int, protocol: int, source: str, target: str, content: bytes) -> bytes:
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, target)
    if family == socket.AF_INET6:
        return struct.pack("!IHBB", 6 << 28, len(content), protocol, 64) + ends + content
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(content), 0, 0, 64, protocol, 0) + ends
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + content


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(memoryview(data).cast("H"))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return socket.htons(~total & 0xFFFF)
