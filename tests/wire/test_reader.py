"""Frames come out whole or in pieces, whichever way their bytes are cut."""

from __future__ import annotations

import pytest

from interceptor.wire.frames import frame
from interceptor.wire.reader import Fate, Reader

FATES = {1: Fate.GATHER, 4: Fate.PASS, 9: Fate.SKIP}
STREAM = (
    frame(4, 3, b"passed")
    + frame(1, 0, b"gathered")
    + frame(9, 0, b"skipped")
    + frame(1)
    + frame(4, 5)
    + frame(4, 7, b"!")
)


def read(step: int) -> tuple[bytes, list[tuple[int, int, bytes]], Reader, int]:
    begun = bytearray()

    def begin(kind: int, _flags: int, _stream: int, _size: int) -> Fate:
        begun.append(kind)
        return FATES[kind]

    reader, parts, most = Reader(begin), [], 0
    for start in range(0, len(STREAM), step):
        for kind, _, stream, payload in reader.read(memoryview(STREAM[start : start + step])):
            parts.append((kind, stream, bytes(payload)))
        most = max(most, reader.held)
    return bytes(begun), parts, reader, most


@pytest.mark.parametrize("step", [1, 2, 3, 5, 8, 9, 13, 1000])
def test_cuts_do_not_matter(step: int) -> None:
    begun, parts, reader, _ = read(step)
    assert begun == bytes((4, 1, 9, 1, 4, 4))
    assert b"".join(payload for kind, _, payload in parts if kind == 4) == b"passed!"
    assert [part for part in parts if part[0] == 1] == [(1, 0, b"gathered"), (1, 0, b"")]
    assert reader.held == 0


@pytest.mark.parametrize("step", [1, 5, 9])
def test_little_is_held(step: int) -> None:
    assert read(step)[3] <= 8


def test_frames_begin_when_reached() -> None:
    """What stands behind a part is not looked at before the part was taken."""
    seen: list[int] = []

    def begin(kind: int, _flags: int, _stream: int, _size: int) -> Fate:
        seen.append(kind)
        return Fate.PASS

    parts = Reader(begin).read(memoryview(frame(1, 0, b"a") + frame(2, 0, b"b")))
    next(parts)
    assert seen == [1]
    next(parts)
    assert seen == [1, 2]
