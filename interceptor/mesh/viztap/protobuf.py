"""Protobuf's wire form, as much as `messages` needs: fields by number, without a schema. Pure.

By hand and not by the `protobuf` package: half a dozen small messages are read, one is written, and the package with
its descriptors costs more at the start of every command than all of this. As there: the last of several values counts,
pieces of one message are put together, and fields of an unexpected kind are as unknown as those nobody knows.
"""

from __future__ import annotations

import struct

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # the kinds in use; 3 and 4, groups, ended before proto3
_FIXED = {FIXED64: struct.Struct("<Q"), FIXED32: struct.Struct("<I")}
_FLOAT = struct.Struct("<f")
_LONGEST = 10  # bytes of a varint: 64 bits
_MASK = (1 << 64) - 1


class Malformed(ValueError):
    """Bytes that are no message."""


class Fields:
    """One message, taken apart. Raises Malformed."""

    __slots__ = ("_found",)

    def __init__(self, data: bytes) -> None:
        self._found: dict[tuple[int, int], list[int | bytes]] = {}
        at = 0
        while at < len(data):
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            if not number:
                raise Malformed("a field without a number")
            value: int | bytes
            if kind == VARINT:
                value, at = _varint(data, at)
            elif kind == BYTES:
                size, at = _varint(data, at)
                value = data[at : at + size]
                at += size
            elif kind in _FIXED:
                end = at + _FIXED[kind].size
                if end > len(data):
                    raise Malformed("it ends within a number")
                (value,), at = _FIXED[kind].unpack_from(data, at), end
            else:
                raise Malformed(f"a field of kind {kind}")
            if at > len(data):
                raise Malformed("it ends within a field")
            self._found.setdefault((number, kind), []).append(value)

    @property
    def numbers(self) -> set[int]:
        """Of the fields that are there."""
        return {number for number, _ in self._found}

    def number(self, number: int, kind: int = VARINT) -> int | None:
        """An integer; None where there is none."""
        found = self._found.get((number, kind))
        return int(found[-1]) if found else None

    def pieces(self, number: int) -> list[bytes]:
        """Every value of a repeated field of messages, strings or bytes."""
        return [value for value in self._found.get((number, BYTES), ()) if isinstance(value, bytes)]

    def text(self, number: int) -> str:
        """A string, "" where there is none."""
        found = self.pieces(number)
        try:
            return found[-1].decode() if found else ""
        except UnicodeDecodeError as error:
            raise Malformed("a string that is not UTF-8") from error

    def message(self, number: int) -> Fields | None:
        """A message within this one."""
        found = self.pieces(number)
        return Fields(b"".join(found)) if found else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST):
        if at + index >= len(data):
            raise Malformed("it ends within a number")
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & _MASK, at + index + 1
    raise Malformed("a number of more than 64 bits")


def varint(value: int) -> bytes:
    """A number below 2**64."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def field(number: int, value: bytes | str) -> bytes:
    """A message, bytes or a string as a field."""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def float_field(number: int, value: float) -> bytes:
    """A `float` as a field."""
    return varint(number << 3 | FIXED32) + _FLOAT.pack(value)
