"""One stream's state and credit, as `connection` keeps it; moves only along the tables in `states`."""

from __future__ import annotations

from interceptor.wire.errors import LocalProtocolError, RemoteProtocolError
from interceptor.wire.frames import MAX_CREDIT
from interceptor.wire.states import HALVES, MAY_CARRY, SETUP, Halves, Setup, Signal


class Stream:
    """State and credit of one stream, from one end."""

    __slots__ = (
        "credit",
        "gets_data",
        "granted",
        "halves",
        "held",
        "number",
        "returnable",
        "sends_data",
        "setup",
        "window",
    )

    def __init__(self, number: int, setup: Setup, credit: int, window: int) -> None:
        self.number = number
        self.credit = credit  # bytes we may still send
        self.window = window  # how much the peer may have on its way to us or held by us
        self.granted = window  # bytes the peer may still send
        self.held = 0  # bytes received and not yet consumed
        self.returnable = 0  # bytes consumed and not yet given back as credit
        self.move(setup, Halves.BOTH)

    def sent(self, signal: Signal) -> None:
        """Move on for a frame of ours, or raise LocalProtocolError and stay."""
        try:
            setup, halves = SETUP[self.setup, signal], HALVES[self.halves, signal]
        except KeyError:
            raise LocalProtocolError(self._illegal(signal)) from None
        self.move(setup, halves)

    def got(self, signal: Signal) -> None:
        """Move on for a frame of the peer's, or raise RemoteProtocolError."""
        try:
            setup, halves = SETUP[self.setup, signal], HALVES[self.halves, signal]
        except KeyError:
            raise RemoteProtocolError(self._illegal(signal)) from None
        self.move(setup, halves)

    def move(self, setup: Setup, halves: Halves) -> None:
        """Enter a state. What the tables say of DATA is kept: it moves nothing, so the path of every byte need not ask."""
        self.setup, self.halves = setup, halves
        self.sends_data, self.gets_data = MAY_CARRY[setup, halves]

    def add_credit(self, amount: int) -> None:
        """Credit from the peer; more than 2 GiB open at once is a violation."""
        self.credit += amount
        if not amount or self.credit > MAX_CREDIT:
            raise RemoteProtocolError(f"stream {self.number}: credit of {amount} bytes")

    def take(self, size: int) -> None:
        """DATA of `size` bytes begins to arrive; out of turn, or more than was granted, is a violation."""
        if not self.gets_data:
            self.got(Signal.GET_DATA)  # raises
        if size > self.granted:
            raise RemoteProtocolError(f"stream {self.number}: {size} bytes beyond its credit")
        self.granted -= size
        self.held += size

    def spend(self, size: int) -> None:
        """DATA of `size` bytes goes out, or LocalProtocolError."""
        if not self.sends_data:
            self.sent(Signal.SEND_DATA)  # raises
        if not 0 < size <= self.credit:
            raise LocalProtocolError(f"stream {self.number}: {size} bytes with credit for {self.credit}")
        self.credit -= size

    def consumed(self, size: int) -> int:
        """`size` bytes left our memory. Returns how much credit to give back now: 0, or at least half a window."""
        self.held -= size
        self.returnable += size
        if self.held < 0:
            raise LocalProtocolError(f"stream {self.number}: consumed more than received")
        if self.returnable * 2 < self.window or not self.gets_data:  # not: the peer sends nothing more
            return 0
        return self.returnable

    def wants_growth(self) -> bool:
        """Whether the reader keeps up while the sender runs dry."""
        return self.held == 0 and self.granted * 2 <= self.window

    def grant(self, amount: int) -> None:
        """Credit was given back; all that could be returned, and perhaps growth."""
        self.granted += amount
        self.returnable = 0

    def _illegal(self, signal: Signal) -> str:
        return f"stream {self.number}: {signal.name} while {self.setup.name}/{self.halves.name}"
