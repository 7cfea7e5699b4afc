"""Fields by number, whatever the bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.mesh.viztap.protobuf import FIXED32, FIXED64, VARINT, Fields, Malformed, field, float_field, varint

NUMBERS = st.integers(1, 2**29 - 1)
VALUES = st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300), st.text(max_size=100))


@settings(max_examples=50)
@given(st.lists(st.tuples(NUMBERS, VALUES), max_size=20))
def test_what_is_written_is_read(entries: list[tuple[int, int | bytes | str]]) -> None:
    data = b"".join(
        varint(number << 3 | VARINT) + varint(value) if isinstance(value, int) else field(number, value)
        for number, value in entries
    )
    fields = Fields(data)
    assert fields.numbers == {number for number, _ in entries}
    for number, value in dict(entries).items():
        last = [found for at, found in entries if at == number and isinstance(found, int) is isinstance(value, int)]
        if isinstance(value, int):
            assert fields.number(number) == last[-1]
        else:
            assert fields.pieces(number) == [one.encode() if isinstance(one, str) else one for one in last]


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_malformed(data: bytes) -> None:
    try:
        fields = Fields(data)
    except Malformed:
        return
    for number in fields.numbers:
        fields.number(number)
        try:
            fields.text(number)
            fields.message(number)
        except Malformed:
            continue


def test_numbers_of_fixed_size() -> None:
    data = varint(1 << 3 | FIXED32) + struct.pack("<I", 7) + varint(2 << 3 | FIXED64) + struct.pack("<Q", 2**63)
    fields = Fields(data)
    assert (fields.number(1, FIXED32), fields.number(2, FIXED64)) == (7, 2**63)
    assert fields.number(1) is None  # of another kind: as unknown as field 3
    assert float_field(3, 1.5) == b"\x1d" + struct.pack("<f", 1.5)


def test_last_value_counts_and_messages_merge() -> None:
    first, second = field(1, "a"), varint(2 << 3) + varint(5)
    found = Fields(field(4, first) + field(4, second) + field(5, "old") + field(5, "new"))
    inner = found.message(4)
    assert inner is not None
    assert (inner.text(1), inner.number(2), found.text(5)) == ("a", 5, "new")
    assert found.message(6) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x08", "ends within a number"),
        (b"\x0a\x05ab", "ends within a field"),
        (b"\x0d\x00\x00", "ends within a number"),
        (b"\x08" + b"\xff" * 10, "more than 64 bits"),
        (b"\x00\x00", "without a number"),
        (b"\x0b", "of kind 3"),
    ],
)
def test_broken_messages(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        Fields(data)
    with pytest.raises(Malformed, match="not UTF-8"):
        Fields(field(1, b"\xff")).text(1)
