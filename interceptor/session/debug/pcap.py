"""The bytes that `tcpdump -w -` writes, taken apart into whole packets, so that those of several pods make one file. Pure.

A file that ends in the middle of a packet is none that Wireshark opens without a complaint: what leaves here is always whole.
https://www.ietf.org/archive/id/draft-gharris-opsawg-pcap-01.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

FILE_HEADER = 24
PACKET_HEADER = 16
LARGEST_PACKET = 1024 * 1024  # tcpdump's own limit is 256 KiB
_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1),
    b"\xa1\xb2\xc3\xd4": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1000),
}


class NotPcap(Exception):
    """The bytes are no capture."""


class PcapReader:
    """Takes pieces as they come, gives packets as they are whole: little-endian, in microseconds."""

    def __init__(self) -> None:
        self.link_type: int | None = None  # known with the first 24 bytes
        self._order, self._finer = "<", 1
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The packets that are complete now, each with its header."""
        self._held += data
        if self.link_type is None:
            if len(self._held) < FILE_HEADER:
                return
            self._begin()
        at = 0
        while len(self._held) - at >= PACKET_HEADER:
            seconds, fraction, size, length = struct.unpack_from(f"{self._order}IIII", self._held, at)
            if size > LARGEST_PACKET:
                raise NotPcap(f"a packet of {size} bytes")
            end = at + PACKET_HEADER + size
            if len(self._held) < end:
                break
            header = struct.pack("<IIII", seconds, fraction // self._finer, size, length)
            yield header + self._held[at + PACKET_HEADER : end]
            at = end
        del self._held[:at]

    def _begin(self) -> None:
        try:
            self._order, self._finer = _MAGIC[bytes(self._held[:4])]
        except KeyError:
            raise NotPcap(f"it begins with {bytes(self._held[:4]).hex()}") from None
        (self.link_type,) = struct.unpack_from(f"{self._order}I", self._held, 20)
        del self._held[:FILE_HEADER]


def file_header(link_type: int) -> bytes:
    """What a capture begins with."""
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 256 * 1024, link_type)
