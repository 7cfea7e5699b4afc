"""Frames come out whole or in pieces, whichever way their bytes are cut."""

from __future__ import annotations

import pytest

from interceptor.wire.events import ControlReceived, DataReceived, Event
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


def complete(kind: int, flags: int, stream: int, payload: memoryview) -> Event:
    return ControlReceived({"kind": kind, "flags": flags, "stream": stream, "payload": bytes(payload)})


def read(step: int) -> tuple[bytes, list[tuple[int, int, bytes]], Reader, int]:
    begun = bytearray()

    def begin(kind: int, _flags: int, _stream: int, _size: int) -> Fate:
        begun.append(kind)
        return FATES[kind]

    reader, parts, most = Reader(begin, complete), [], 0
    for start in range(0, len(STREAM), step):
        for event in reader.read(memoryview(STREAM[start : start + step])):
            if isinstance(event, DataReceived):
                parts.append((4, event.stream, bytes(event.data)))
            elif isinstance(event, ControlReceived):
                parts.append((event.message["kind"], event.message["stream"], event.message["payload"]))
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

    parts = Reader(begin, complete).read(memoryview(frame(1, 0, b"a") + frame(2, 0, b"b")))
    next(parts)
    assert seen == [1]
    next(parts)
    assert seen == [1, 2]


@pytest.mark.parametrize(("stream", "heard"), [(3, b"one"), (5, b"onetwo")])
def test_dropped_stream_is_passed_over(stream: int, heard: bytes) -> None:
    """In the middle of its frame; another stream's goes on."""
    reader, data = Reader(lambda *_: Fate.PASS, complete), frame(4, 3, b"onetwo")
    first = [event.data.tobytes() for event in reader.read(memoryview(data[:-3])) if isinstance(event, DataReceived)]
    reader.drop(stream)
    rest = [event.data.tobytes() for event in reader.read(memoryview(data[-3:])) if isinstance(event, DataReceived)]
    assert b"".join(first + rest) == heard
