"""What may be on its way follows the path: its best rate times its best round trip, between a floor and a ceiling."""

from __future__ import annotations

import struct
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.tunnel.pace import CEILING, FLOOR, GAIN, MARKS, QUEUE, START, Pace, _Best

CHUNK = 32 * 1024


def number_of(payload: bytes) -> int:
    number: int = struct.unpack(">Q", payload)[0]
    return number


def run(pace: Pace, seconds: float, rate: float, trip: float, since: float = 0.0) -> float:
    """A sender that never waits unless it must, on a path of `rate` bytes a second and `trip` seconds; the time then."""
    now, free = since, since
    pongs: deque[tuple[float, bytes]] = deque()
    while now < since + seconds:
        while pongs and pongs[0][0] <= now:
            pace.answered(pongs.popleft()[1], now)
        if pace.full:
            now = pongs[0][0]
            continue
        free = max(free, now) + CHUNK / rate  # when the path has carried it
        if pace.sent(CHUNK):
            pongs.append((free + trip, pace.mark(now)))
        now += CHUNK / (4 * rate)  # we are four times as fast as the path
    for at, payload in pongs:
        now = at
        pace.answered(payload, now)
    return now


def test_starts_with_a_full_window() -> None:
    pace = Pace(5.0)
    assert pace.window == START
    assert pace.round_trip == 0
    pace.sent(START - 1)
    assert not pace.full
    pace.sent(1)
    assert pace.full


def test_mark_is_due_each_quarter() -> None:
    pace = Pace(0.0)
    lot = START // MARKS
    assert not pace.sent(lot - 1)
    assert pace.sent(1)
    assert pace.sent(1)  # due until it is made
    pace.mark(0.0)
    assert not pace.sent(lot - 1)


def test_pong_frees_what_it_follows() -> None:
    pace = Pace(0.0)
    pace.sent(START // 2)
    mark = pace.mark(0.0)
    pace.sent(START // 2)
    before = pace.full
    pace.answered(mark, 0.001)
    between = pace.full
    assert pace.round_trip == pytest.approx(0.001)
    pace.sent(START // 2)
    assert (before, between, pace.full) == (True, False, True)


def test_unasked_pongs_change_nothing() -> None:
    pace = Pace(0.0)
    pace.sent(START)
    first = pace.mark(0.0)
    pace.answered(struct.pack(">Q", 0), 0.1)
    assert pace.full
    pace.answered(first, 0.2)
    pace.answered(first, 9.0)
    pace.answered(struct.pack(">Q", 2**64 - 1), 9.0)
    assert pace.round_trip == pytest.approx(0.2)


def test_later_pong_answers_for_lost_ones() -> None:
    pace = Pace(0.0)
    pace.sent(START)
    pace.mark(0.0)
    later = pace.mark(1.0)
    pace.answered(later, 1.5)
    assert not pace.full
    assert pace.round_trip == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("rate", "trip"),
    [(40e6, 0.001), (30e6, 0.020), (20e6, 0.150)],
    ids=["beside", "office", "abroad"],
)
def test_window_finds_the_path(rate: float, trip: float) -> None:
    """No less than the path holds, or it would run dry; and not so much more that others feel the queue."""
    pace = Pace(0.0)
    run(pace, 3.0, rate, trip)
    assert 0.99 * rate * max(QUEUE, trip) <= pace.window <= 2 * rate * max(QUEUE, GAIN * trip)


def test_slow_path_keeps_the_floor() -> None:
    pace = Pace(0.0)
    run(pace, 3.0, 5e6, 0.02)
    assert pace.window == FLOOR


def test_endless_path_keeps_the_ceiling() -> None:
    pace = Pace(0.0)
    run(pace, 8.0, 200e6, 0.2)
    assert pace.window == CEILING


def test_slower_path_is_noticed() -> None:
    """The best rate is forgotten within two spans: a path that got worse does not keep a queue for ever."""
    pace = Pace(0.0)
    now = run(pace, 2.0, 60e6, 0.01)
    fast = pace.window
    run(pace, 4.0, 15e6, 0.01, since=now)
    assert pace.window < fast / 2


def test_idle_tunnel_forgets_its_rate() -> None:
    pace = Pace(0.0)
    now = run(pace, 2.0, 400e6, 0.01)
    assert pace.window > FLOOR
    for second in range(1, 5):  # the pings of a tunnel on which nothing moves
        pace.answered(pace.mark(now + second), now + second + 0.01)
    assert pace.window == FLOOR


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 3 * 1024 * 1024)),
            st.tuples(st.just("mark"), st.just(0)),
            st.tuples(st.just("pong"), st.integers(0, 40)),
        ),
        max_size=60,
    ),
    st.lists(st.floats(0.0, 30.0), min_size=60, max_size=60),
)
def test_any_order_keeps_the_bounds(steps: list[tuple[str, int]], pauses: list[float]) -> None:
    pace, now, made = Pace(0.0), 0.0, 0
    sent, marked = 0, {0: 0}
    arrived, newest = 0, 0
    for (verb, value), pause in zip(steps, pauses, strict=False):
        now += pause
        if verb == "send":
            sent += value
            pace.sent(value)
        elif verb == "mark":
            made = number_of(pace.mark(now))
            marked[made] = sent
        else:
            pace.answered(struct.pack(">Q", value), now)
            if newest < value <= made:
                newest, arrived = value, marked[value]
        assert FLOOR <= pace.window <= CEILING
        assert pace.full == (sent - arrived >= pace.window)


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(-1000, 1000)), min_size=1, max_size=40))
def test_best_is_of_recent_spans(steps: list[tuple[float, int]]) -> None:
    best, now = _Best(1.0, 0.0), 0.0
    seen: list[tuple[float, int]] = []
    for pause, value in steps:
        now += pause
        seen.append((now, value))
        found = best.add(value, now)
        assert max(v for at, v in seen if at > now - 0.999) <= found
        assert found <= max(v for at, v in seen if at > now - 2.001)


def test_lone_message_teaches_the_cost() -> None:
    """What it took longer than an empty path is the time that it occupied it."""
    pace = Pace(0.0)
    pace.answered(pace.mark(0.0), 0.001)  # an empty path
    for turn in range(1, 40):
        pace.sent(CHUNK)
        pace.answered(pace.mark(turn, CHUNK), turn + 0.001 + CHUNK * 1e-7)
    assert pace.cost == pytest.approx(1e-7, rel=0.01)
