"""How much may be on its way in one tunnel, so that a bulk transfer leaves the others their latency. Pure; `mux` asks.

Credits bound what a stream's *reader* holds; they say nothing of the hops between. API server, kubelet and runtime buffer
megabytes, and everything behind a bulk waits in that queue: 8 MiB at 5 MB/s are 1.6 s for each small request.
So the sender counts what was sent and not yet seen by the far end, and keeps that near what the path itself holds, its best
round trip times its best rate (the idea of BBR, https://queue.acm.org/detail.cfm?id=3022184), or what it carries in `QUEUE`.

Marks are pings that follow the data: a pong says that all before it has arrived, when, and how fast.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import NamedTuple

FLOOR = 1024 * 1024  # below it each hop wakes up for crumbs, and the path costs twice the CPU per byte
CEILING = 8 * 1024 * 1024
START = FLOOR
QUEUE = 0.1  # seconds that a queue may last: hops that find more copy more at once, for a third less CPU per byte
GAIN = 1.6  # above one, or a faster rate would never be found; a quarter of a window is always unmarked
RATE_SECONDS = 1.0  # the best rate of the last one to two such spans counts
TRIP_SECONDS = 20.0  # the same for the best round trip: a path may change under a long tunnel
MARKS = 4  # a window: each costs a message there and one back
COST = 1 / 50e6  # seconds of the path's time for a byte, before any was timed
COST_WEIGHT = 0.25  # of the newest
_NUMBER = struct.Struct(">Q")


class _Mark(NamedTuple):
    number: int
    sent: int
    at: float
    alone: int


class Pace:
    """One direction of one tunnel; bytes, seconds by any steady clock."""

    def __init__(self, now: float) -> None:
        self.window = START
        self.full = False  # whether a stream in a hurry to send much should wait for the next pong
        self.round_trip = 0.0  # of the last answered mark; 0 before the first
        self.cost = COST
        self._sent = 0
        self._arrived = 0
        self._marks: deque[_Mark] = deque()
        self._number = 0
        self._unmarked = 0
        self._due = START // MARKS  # so much unmarked asks for a mark
        self._sample = (now, 0)  # when, and how much had arrived
        self._rates = _Best(RATE_SECONDS, now)
        self._trips = _Best(TRIP_SECONDS, now)  # of -seconds: the best is the shortest

    def sent(self, size: int) -> bool:
        """Count bytes on their way; true when a mark is due."""
        self._sent += size
        self._unmarked += size
        self.full = self._sent - self._arrived >= self.window
        return self._unmarked >= self._due

    def mark(self, now: float, alone: int = 0) -> bytes:
        """The payload of a ping that goes out now; `alone`: right behind one message of that size, with nothing before it."""
        self._number += 1
        self._unmarked = 0
        self._marks.append(_Mark(self._number, self._sent, now, alone))
        return _NUMBER.pack(self._number)

    def answered(self, payload: bytes, now: float) -> None:
        """A pong came. One that nobody asked for is ignored: it can't be told from an old one."""
        number = _NUMBER.unpack(payload)[0]
        while self._marks and self._marks[0].number <= number <= self._number:
            mark = self._marks.popleft()
            if mark.number == number:
                self._learn(mark, now)

    def _learn(self, mark: _Mark, now: float) -> None:
        self.round_trip = now - mark.at
        self._arrived = mark.sent
        shortest = -self._trips.add(-self.round_trip, now)
        if mark.alone:
            self.cost += ((self.round_trip - shortest) / mark.alone - self.cost) * COST_WEIGHT
        began, before = self._sample
        if now - began >= max(shortest, 0.002):  # over less, the rate is that of one wake-up
            rate = self._rates.add((mark.sent - before) / (now - began), now)
            self._sample = now, mark.sent
            self.window = int(min(CEILING, max(FLOOR, rate * max(QUEUE, GAIN * shortest))))
            self._due = self.window // MARKS
        self.full = self._sent - self._arrived >= self.window


class _Best:
    """The largest value of the last one to two spans: old ones are forgotten without keeping a list."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds = seconds
        self._since = now
        self._current = self._previous = float("-inf")

    def add(self, value: float, now: float) -> float:
        spans = int((now - self._since) / self._seconds)
        if spans:
            self._previous = self._current if spans == 1 else float("-inf")
            self._current = float("-inf")
            self._since += spans * self._seconds
        self._current = max(self._current, value)
        return max(self._current, self._previous)
