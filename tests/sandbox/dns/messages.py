"""DNS messages built by hand, for tests."""

import struct

A, SOA = 1, 6


def name(text: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".") if part) + b"\0"


def query(text: str = "orders.shop", number: int = 7) -> bytes:
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + name(text) + struct.pack("!HH", A, 1)


def record(seconds: int, data: bytes = bytes(4), kind: int = A) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, seconds, len(data)) + data


def soa(seconds: int, minimum: int) -> bytes:
    return record(seconds, name("ns.shop") + name("root.shop") + struct.pack("!5I", 1, 2, 3, 4, minimum), SOA)


def response(
    asked: bytes, *answers: bytes, authority: tuple[bytes, ...] = (), code: int = 0, flags: int = 0x8180
) -> bytes:
    counts = struct.pack("!HHHHH", flags | code, 1, len(answers), len(authority), 0)
    return asked[:2] + counts + asked[12:] + b"".join(answers) + b"".join(authority)
