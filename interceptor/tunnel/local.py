"""The local side of inbound streams: connects each to the developer's process, or lets it wait while nothing listens.

Called by `tunnel.client` for what an agent opens. A process that reloads refuses connections for a moment: callers wait
up to `hold` seconds, and one knock at a time finds out when it is back, however many wait.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interceptor.tunnel.dial import Address, Dial, Make, reason_of
from interceptor.tunnel.flows import Flows
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.poller import Poller, Timer
from interceptor.tunnel.relay import Relay
from interceptor.wire.reasons import Reason

KNOCK_EVERY = 0.05  # seconds: a reload is noticed within a human's reaction time
DIAL_TIME = 5.0

Port = tuple[str, int]
"""TCP or UDP, and the pod's number."""
OnChange = Callable[[int, bool], None]
"""Local port, and whether something listens there now; told only when it changes."""


class LocalSide:
    """Where the streams of each pod port go on this machine. One for all tunnels of a session."""

    def __init__(
        self,
        poller: Poller,
        targets: Mapping[Port, Sequence[Address]],
        hold: float,
        on_change: OnChange,
    ) -> None:
        self._datagrams = {port: addresses for (of, port), addresses in targets.items() if of == "UDP"}
        self._flows = Flows(poller)
        self._make: Make = socket.socket
        self._doors = {
            port: _Door(poller, addresses, hold, on_change) for (of, port), addresses in targets.items() if of == "TCP"
        }
        self._closed = ""

    def enter(self, make: Make) -> None:
        """From now on the local process is where sockets that `make` gives belong: in a network namespace of its own."""
        self._make = make
        for door in self._doors.values():
            door.make = make

    def connect(self, mux: Mux, relay: Relay, target: dict[str, Any]) -> None:
        """Answer a stream that an agent opened: `{"port": pod port, "peer": caller, "probe": true?, "udp": true?}`."""
        port, udp = target.get("port"), bool(target.get("udp"))
        if self._closed:
            mux.refuse(relay, Reason.GONE, self._closed)
        elif not isinstance(port, int) or port not in (self._datagrams if udp else self._doors):
            mux.refuse(relay, Reason.DENIED, f"port {port}{'/udp' if udp else ''} is not intercepted")
        elif udp:
            self._flows.connect(mux, relay, *self._datagrams[port][0], self._make)
        else:
            door = self._doors[port]
            door.connect(mux, relay, 0.0 if target.get("probe") else mux.poller.now() + door.hold)

    def close(self, why: str) -> None:
        """The local process is gone for good: who waits, and who still comes, is sent back with GONE."""
        self._closed = why
        for door in self._doors.values():
            door.close(why)


class _Door:
    """One local address and who waits before it."""

    def __init__(self, poller: Poller, addresses: Sequence[Address], hold: float, on_change: OnChange) -> None:
        self._poller = poller
        self._addresses = addresses
        self.hold = hold
        self.make: Make = socket.socket
        self._on_change = on_change
        host, self._port = addresses[0][1]
        self._name = f"{host}:{self._port}"
        self._open: bool | None = None
        self._waiting: dict[Relay, tuple[Mux, float, Timer]] = {}  # until when, and who tells us so
        self._knocking: Timer | None = None
        self._knocker: Dial | None = None
        self._closed = ""

    def connect(self, mux: Mux, relay: Relay, deadline: float) -> None:
        done = functools.partial(self._dialled, mux, relay, deadline)
        dial = Dial(mux.poller, self._addresses, DIAL_TIME, done, self.make)
        relay.on_finished = lambda _: dial.cancel()
        dial.start()

    def close(self, why: str) -> None:
        if self._knocking is not None:
            self._knocking.cancel()
            self._knocking = None
        if self._knocker is not None:
            self._knocker.cancel()
            self._knocker = None
        self._closed = why
        waiting, self._waiting = self._waiting, {}
        for relay, (mux, _, timer) in waiting.items():
            timer.cancel()
            relay.on_finished = None
            mux.refuse(relay, Reason.GONE, why)

    def _dialled(
        self, mux: Mux, relay: Relay, deadline: float, sock: socket.socket | None, error: OSError | None
    ) -> None:
        relay.on_finished = None
        if sock is not None:
            self._changed(True)
            mux.accept(relay, sock)
            self._let_in()
            return
        assert error is not None
        if reason_of(error) is Reason.REFUSED:
            self._changed(False)
            if self._closed:
                mux.refuse(relay, Reason.GONE, self._closed)
                return
            if deadline > self._poller.now():
                self._wait(mux, relay, deadline)
                return
            if deadline:  # a probe has none
                mux.refuse(relay, Reason.REFUSED, self._nobody())
                return
        mux.refuse(relay, reason_of(error), f"{self._name} on the developer's machine: {error.strerror}")

    def _wait(self, mux: Mux, relay: Relay, deadline: float) -> None:
        late = functools.partial(self._late, relay)
        self._waiting[relay] = mux, deadline, self._poller.call_later(deadline - self._poller.now(), late)
        relay.on_finished = self._left
        if self._knocking is None:
            self._knocking = self._poller.call_later(KNOCK_EVERY, self._knock)

    def _left(self, relay: Relay) -> None:
        waiting = self._waiting.pop(relay, None)
        if waiting is not None:
            waiting[2].cancel()

    def _late(self, relay: Relay) -> None:
        mux, *_ = self._waiting.pop(relay)
        relay.on_finished = None
        mux.refuse(relay, Reason.REFUSED, self._nobody())

    def _nobody(self) -> str:
        return f"nothing listens on {self._name} on the developer's machine (waited {self.hold:g} s)"

    def _knock(self) -> None:
        self._knocking = None
        if self._waiting:
            self._knocker = Dial(self._poller, self._addresses, DIAL_TIME, self._knocked, self.make)
            self._knocker.start()

    def _knocked(self, sock: socket.socket | None, _: OSError | None) -> None:
        self._knocker = None
        if sock is None:
            if self._waiting:
                self._knocking = self._poller.call_later(KNOCK_EVERY, self._knock)
            return
        self._changed(True)
        if self._waiting:
            relay = next(iter(self._waiting))  # the knock is as good a connection as any
            mux, _deadline, timer = self._waiting.pop(relay)
            timer.cancel()
            relay.on_finished = None
            mux.accept(relay, sock)
            self._let_in()
        else:
            sock.close()

    def _let_in(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for relay, (mux, deadline, timer) in waiting.items():
            timer.cancel()
            self.connect(mux, relay, deadline)

    def _changed(self, is_open: bool) -> None:
        if self._open is not is_open and not self._closed:
            self._open = is_open
            self._on_change(self._port, is_open)
