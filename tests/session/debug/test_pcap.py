"""Packets leave whole, in one form, however their bytes come."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.session.debug.pcap import LARGEST_PACKET, NotPcap, PcapReader, file_header

PACKETS = [b"", b"one", bytes(range(256))]


def written(order: str, magic: int, finer: int) -> bytes:
    data = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, 276)
    for index, packet in enumerate(PACKETS):
        data += struct.pack(f"{order}IIII", 1000 + index, 5 * finer, len(packet), 2000) + packet
    return data


WANTED = [struct.pack("<IIII", 1000 + i, 5, len(packet), 2000) + packet for i, packet in enumerate(PACKETS)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "finer"), [(0xA1B2C3D4, 1), (0xA1B23C4D, 1000)])
def test_every_form_becomes_one(order: str, magic: int, finer: int) -> None:
    reader = PcapReader()
    assert list(reader.feed(written(order, magic, finer))) == WANTED
    assert reader.link_type == 276


@given(st.lists(st.integers(1, 90)))
def test_pieces_make_whole_packets(sizes: list[int]) -> None:
    data, reader, found = written("<", 0xA1B2C3D4, 1), PcapReader(), []
    for size in [*sizes, len(data)]:
        found += list(reader.feed(data[:size]))
        data = data[size:]
    assert found == WANTED


def test_half_packet_is_kept_back() -> None:
    reader = PcapReader()
    assert list(reader.feed(written("<", 0xA1B2C3D4, 1)[:-1])) == WANTED[:-1]


def test_own_header_is_read_again() -> None:
    reader = PcapReader()
    assert list(reader.feed(file_header(113) + WANTED[1])) == [WANTED[1]]
    assert reader.link_type == 113


def test_other_bytes_are_refused() -> None:
    with pytest.raises(NotPcap):
        list(PcapReader().feed(b"tcpdump: command not found"))
    with pytest.raises(NotPcap):
        list(PcapReader().feed(file_header(1) + struct.pack("<IIII", 0, 0, LARGEST_PACKET + 1, 0)))
