"""Packets as other programs read them: their checksums are right."""

import socket
import struct

import pytest

from interceptor.sandbox.kernel import packets

ENDS = [
    (socket.AF_INET, ("10.96.0.10", 53), ("10.244.0.5", 40000)),
    (socket.AF_INET6, ("fd00::a", 53), ("fd00::5", 40000)),
]


def total(data: bytes) -> int:
    """The ones' complement sum, which over data with its checksum is all ones."""
    data += bytes(len(data) % 2)
    summed: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while summed >> 16:
        summed = (summed & 0xFFFF) + (summed >> 16)
    return summed


@pytest.mark.parametrize(("family", "source", "target"), ENDS)
@pytest.mark.parametrize("payload", [b"", b"odd", b"even", b"\xff" * 1000])
def test_datagram_adds_up(family: int, source: packets.End, target: packets.End, payload: bytes) -> None:
    packet = packets.datagram(family, source, target, payload)
    assert packet.endswith(payload)
    if family == socket.AF_INET:
        assert total(packet[:20]) == 0xFFFF
        assert struct.unpack_from("!H", packet, 2) == (len(packet),)
    else:
        assert total(packet[8:40] + struct.pack("!IxxxB", len(packet) - 40, 17) + packet[40:]) == 0xFFFF


@pytest.mark.parametrize(("family", "source", "target"), ENDS)
def test_refusal_adds_up(family: int, source: packets.End, target: packets.End) -> None:
    packet = packets.port_unreachable(family, source, target)
    if family == socket.AF_INET:
        assert total(packet[20:]) == 0xFFFF
    else:
        assert total(packet[8:40] + struct.pack("!IxxxB", len(packet) - 40, 58) + packet[40:]) == 0xFFFF
