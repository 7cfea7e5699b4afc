"""What may happen when, as tables; `connection` moves along them and an unlisted step is an error.

Rules: every state lives in this file's enums; these tables do not know which role we play. A stream has two independent
aspects, so that opening costs no round trip: its *setup* (has the far side connected?) and its *halves* (who may still
send?). The opener may send data and END while it is OPENING; the acceptor ACCEPTs before it sends anything but RESET.
"""

from __future__ import annotations

from enum import Enum, auto


class _ByIdentity(Enum):
    """Enum's own hash is Python code; the tables below are looked up twice per frame (measured: half of its time)."""

    __hash__ = object.__hash__


class ConnectionState(Enum):
    """Of one tunnel."""

    GREETING = auto()  # our HELLO is out, the peer's is not in yet
    OPEN = auto()
    CLOSING = auto()  # we sent CLOSE: nothing more goes out, what comes in is dropped
    CLOSED = auto()  # the peer sent CLOSE, or either end broke the rules


class Setup(_ByIdentity):
    """Has the far end of a stream connected?"""

    OPENING = auto()  # we asked
    OFFERED = auto()  # the peer asks
    SETTLED = auto()


class Halves(_ByIdentity):
    """Which directions of a stream are still open."""

    BOTH = auto()
    SENT_END = auto()
    GOT_END = auto()
    CLOSED = auto()


class Signal(_ByIdentity):
    """A frame that belongs to a stream, by direction."""

    SEND_ACCEPT = auto()
    SEND_DATA = auto()
    SEND_END = auto()
    SEND_RESET = auto()
    GET_ACCEPT = auto()
    GET_DATA = auto()
    GET_END = auto()
    GET_RESET = auto()


SETUP: dict[tuple[Setup, Signal], Setup] = {
    (Setup.OPENING, Signal.SEND_DATA): Setup.OPENING,
    (Setup.OPENING, Signal.SEND_END): Setup.OPENING,
    (Setup.OPENING, Signal.SEND_RESET): Setup.SETTLED,
    (Setup.OPENING, Signal.GET_ACCEPT): Setup.SETTLED,
    (Setup.OPENING, Signal.GET_RESET): Setup.SETTLED,
    (Setup.OFFERED, Signal.SEND_ACCEPT): Setup.SETTLED,
    (Setup.OFFERED, Signal.SEND_RESET): Setup.SETTLED,
    (Setup.OFFERED, Signal.GET_DATA): Setup.OFFERED,
    (Setup.OFFERED, Signal.GET_END): Setup.OFFERED,
    (Setup.OFFERED, Signal.GET_RESET): Setup.SETTLED,
    (Setup.SETTLED, Signal.SEND_DATA): Setup.SETTLED,
    (Setup.SETTLED, Signal.SEND_END): Setup.SETTLED,
    (Setup.SETTLED, Signal.SEND_RESET): Setup.SETTLED,
    (Setup.SETTLED, Signal.GET_DATA): Setup.SETTLED,
    (Setup.SETTLED, Signal.GET_END): Setup.SETTLED,
    (Setup.SETTLED, Signal.GET_RESET): Setup.SETTLED,
}

HALVES: dict[tuple[Halves, Signal], Halves] = {
    (Halves.BOTH, Signal.SEND_ACCEPT): Halves.BOTH,
    (Halves.BOTH, Signal.SEND_DATA): Halves.BOTH,
    (Halves.BOTH, Signal.SEND_END): Halves.SENT_END,
    (Halves.BOTH, Signal.SEND_RESET): Halves.CLOSED,
    (Halves.BOTH, Signal.GET_ACCEPT): Halves.BOTH,
    (Halves.BOTH, Signal.GET_DATA): Halves.BOTH,
    (Halves.BOTH, Signal.GET_END): Halves.GOT_END,
    (Halves.BOTH, Signal.GET_RESET): Halves.CLOSED,
    (Halves.SENT_END, Signal.SEND_RESET): Halves.CLOSED,
    (Halves.SENT_END, Signal.GET_ACCEPT): Halves.SENT_END,
    (Halves.SENT_END, Signal.GET_DATA): Halves.SENT_END,
    (Halves.SENT_END, Signal.GET_END): Halves.CLOSED,
    (Halves.SENT_END, Signal.GET_RESET): Halves.CLOSED,
    (Halves.GOT_END, Signal.SEND_ACCEPT): Halves.GOT_END,
    (Halves.GOT_END, Signal.SEND_DATA): Halves.GOT_END,
    (Halves.GOT_END, Signal.SEND_END): Halves.CLOSED,
    (Halves.GOT_END, Signal.SEND_RESET): Halves.CLOSED,
    (Halves.GOT_END, Signal.GET_RESET): Halves.CLOSED,
}

MAY_CARRY: dict[tuple[Setup, Halves], tuple[bool, bool]] = {
    (setup, halves): (
        (setup, Signal.SEND_DATA) in SETUP and (halves, Signal.SEND_DATA) in HALVES,
        (setup, Signal.GET_DATA) in SETUP and (halves, Signal.GET_DATA) in HALVES,
    )
    for setup in Setup
    for halves in Halves
}
"""Whether we may send DATA, and whether the peer may: what both tables say of the frames that every byte takes."""
