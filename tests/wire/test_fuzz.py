"""Whatever bytes come: either they mean something, or RemoteProtocolError with CLOSE queued; never more memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.wire.connection import Connection, Role
from interceptor.wire.errors import RemoteProtocolError
from interceptor.wire.frames import CREDIT, MAX_PAYLOAD, Kind, frame
from interceptor.wire.limits import Limits
from interceptor.wire.reasons import Reason
from interceptor.wire.states import ConnectionState
from tests.wire.pair import ConnectionPair, inject

LIMITS = Limits(window=2000, largest_window=4000, growth=4000, streams=4, control=100_000, answers=5000)
MOST = LIMITS.control + LIMITS.answers + 5 * MAX_PAYLOAD


def held(end: Connection) -> int:
    return end.waiting + end._reader.held + len(end._control) + 200 * len(end.streams)


def feed(end: Connection, data: bytes, step: int) -> None:
    """All of it, whether or not it is over meanwhile; our own part is only to look."""
    for start in range(0, len(data), step):
        try:
            for _ in end.receive(memoryview(data[start : start + step])):
                assert held(end) <= MOST
        except RemoteProtocolError:
            assert end.state is ConnectionState.CLOSED
            assert bytes((Kind.CLOSE,)) in end.take()
            assert list(end.receive(memoryview(data))) == []
            return
        assert held(end) <= MOST


def greeted() -> Connection:
    pair = ConnectionPair(agent_limits=LIMITS)
    pair.opened()
    pair.opened()
    return pair.agent


@given(data=st.binary(max_size=400), step=st.integers(1, 400))
@settings(max_examples=120, deadline=None)
def test_strangers_are_survived(data: bytes, step: int) -> None:
    feed(Connection(Role.AGENT, "s", limits=LIMITS), data, step)


@given(data=st.binary(max_size=400), step=st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_noise_is_survived(data: bytes, step: int) -> None:
    feed(greeted(), data, step)


payloads = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"{}", b'{"port":1}', b"[]", b"", CREDIT.pack(1), bytes(8), b'{"a":' * 900, b"\xed\xa0\x80"]),
)
any_frame = st.builds(frame, st.integers(0, 13), st.integers(0, 12), payloads, st.integers(0, 3))


@given(frames=st.lists(any_frame, max_size=30), step=st.integers(1, 2000))
@settings(max_examples=120, deadline=None)
def test_wild_frames_are_survived(frames: list[bytes], step: int) -> None:
    feed(greeted(), b"".join(frames), step)


def recording() -> bytes:
    """A valid conversation's bytes as the client said them."""
    pair = ConnectionPair()
    said = b""
    for index in range(4):
        number = pair.client.open({"host": "db", "port": 5432})
        pair.client.send(number, bytes(100 * index + 1))
        if index % 2:
            pair.client.end(number)
        else:
            pair.client.reset(number, Reason.CANCELLED, "no more")
        pair.client.ping(b"12345678")
        pair.client.control({"do": "probe", "id": index})
        said += pair.client.take()
    return said


RECORDING = recording()


@given(data=st.data(), step=st.integers(1, 500))
@settings(max_examples=120, deadline=None)
def test_mutations_are_survived(data: st.DataObject, step: int) -> None:
    said = bytearray(RECORDING)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(said) - 1))
        change = data.draw(st.sampled_from(["flip", "cut", "double"]))
        if change == "flip":
            said[at] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "cut":
            del said[at : at + data.draw(st.integers(1, 20))]
        else:
            said[at:at] = said[at : at + data.draw(st.integers(1, 200))]
        if not said:
            return
    feed(ConnectionPair(agent_limits=LIMITS).agent, bytes(said), step)


@pytest.mark.parametrize("kind", [*Kind, 99])
def test_headers_alone_hold_nothing(kind: int) -> None:
    """A header that promises 64 KiB reserves none of it."""
    agent = greeted()
    before = held(agent)
    try:
        inject(agent, kind, 1)
        feed(agent, frame(kind, 1, bytes(65_535), 1)[:8], 8)
    except RemoteProtocolError:
        return
    assert held(agent) <= before + 100
