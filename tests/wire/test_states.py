"""Every step that the tables do not list is an error, and theirs is told from ours."""

from __future__ import annotations

import itertools

import pytest

from interceptor.wire.errors import LocalProtocolError, RemoteProtocolError
from interceptor.wire.states import HALVES, SETUP, Halves, Setup, Signal
from interceptor.wire.stream import Stream

STEPS = list(itertools.product(Setup, Halves, Signal))


def take(stream: Stream, signal: Signal) -> None:
    if signal.name.startswith("SEND"):
        stream.sent(signal)
    else:
        stream.got(signal)


@pytest.mark.parametrize(("setup", "halves", "signal"), STEPS, ids=lambda part: part.name)
def test_only_listed_steps(setup: Setup, halves: Halves, signal: Signal) -> None:
    stream = Stream(1, setup, 1000, 1000)
    stream.move(setup, halves)
    if (setup, signal) in SETUP and (halves, signal) in HALVES:
        take(stream, signal)
        assert (stream.setup, stream.halves) == (SETUP[setup, signal], HALVES[halves, signal])
        return
    wrong = LocalProtocolError if signal.name.startswith("SEND") else RemoteProtocolError
    with pytest.raises(wrong, match=f"stream 1: {signal.name} while {setup.name}/{halves.name}"):
        take(stream, signal)
    assert (stream.setup, stream.halves) == (setup, halves)


def test_closed_is_final() -> None:
    assert not [step for step in HALVES if step[0] is Halves.CLOSED]


def test_reset_is_always_possible() -> None:
    for halves in (Halves.BOTH, Halves.SENT_END, Halves.GOT_END):
        for signal in (Signal.SEND_RESET, Signal.GET_RESET):
            assert HALVES[halves, signal] is Halves.CLOSED


def test_may_send_agrees_with_tables() -> None:
    for setup, halves in itertools.product(Setup, Halves):
        stream = Stream(1, setup, 1000, 1000)
        stream.move(setup, halves)
        assert stream.sends_data == ((setup, Signal.SEND_DATA) in SETUP and (halves, Signal.SEND_DATA) in HALVES)
