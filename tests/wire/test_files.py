"""The messages of a files stream survive the way, and docs/files.md shows their numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire import files
from interceptor.wire.errors import RemoteProtocolError
from interceptor.wire.files import Ask, Attributes, Change, Reader, Root, Statfs, Step

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files.md"
BIG, SMALL = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
TIMES = st.integers(-(2**63), 2**63 - 1)
ATTRIBUTES = st.builds(
    Attributes, BIG, BIG, SMALL, SMALL, SMALL, SMALL, BIG, BIG, TIMES, TIMES, TIMES, BIG, SMALL
)  # fmt: skip
STEPS = st.builds(Step, st.binary(max_size=300), st.integers(0, 133), st.none() | ATTRIBUTES, st.binary(max_size=300))


@given(st.lists(STEPS, max_size=5))
def test_steps_survive(steps: list[Step]) -> None:
    assert list(Reader(b"".join(map(files.step, steps))).steps()) == steps


@given(st.lists(st.one_of(st.builds(Root, st.just(0), st.booleans(), ATTRIBUTES),
                          st.builds(Root, st.integers(1, 133), st.just(False), st.none())), max_size=4))  # fmt: skip
def test_roots_survive(roots: list[Root]) -> None:
    assert list(Reader(b"".join(map(files.root, roots))).roots()) == roots


@given(st.integers(0, 65535), st.binary(max_size=400), st.binary(max_size=50))
def test_places_survive(root: int, path: bytes, rest: bytes) -> None:
    reader = Reader(files.place(root, path) + rest)
    assert reader.place() == (root, path)
    assert bytes(reader.rest) == rest


@given(st.none() | SMALL, st.none() | BIG, st.none() | TIMES, st.none() | TIMES)
def test_changes_survive(mode: int | None, size: int | None, atime: int | None, mtime: int | None) -> None:
    change = Change(mode, size, atime, mtime)
    assert Reader(change.pack()).change() == change


@given(st.builds(Statfs, BIG, BIG, BIG, BIG, BIG, SMALL, SMALL))
def test_numbers_survive(numbers: Statfs) -> None:
    assert Reader(files.statfs(numbers)).statfs() == numbers


@given(st.binary(max_size=60))
def test_anything_cut_is_refused(data: bytes) -> None:
    """No message of a peer does more than to be refused."""
    for take in (Reader.attributes, Reader.place, Reader.change, Reader.statfs):
        reader = Reader(data)
        try:
            take(reader)
        except RemoteProtocolError:
            assert len(data) < 78 + 400


def test_short_messages_end() -> None:
    with pytest.raises(RemoteProtocolError, match="ends too early"):
        Reader(b"\0\1").unpack(files.HANDLE)


def test_asks_are_shown() -> None:
    text = PAGE.read_text()
    for ask in Ask:
        assert f"| {ask.value} | {ask.name} |" in text
