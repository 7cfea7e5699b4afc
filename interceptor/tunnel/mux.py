"""Many relays over one link: turns protocol events into calls on relays, and batches frames. One per tunnel and end.

The agent and the client drive it the same way; what differs stands behind `MuxUser`. All of it runs on one thread.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from interceptor.tunnel.courtesy import Courtesy
from interceptor.tunnel.link import Link
from interceptor.tunnel.pace import Pace
from interceptor.tunnel.poller import Poller, Timer
from interceptor.tunnel.relay import Relay, reset
from interceptor.wire import events
from interceptor.wire.connection import Connection, Role
from interceptor.wire.errors import RemoteProtocolError
from interceptor.wire.events import DataReceived
from interceptor.wire.frames import HEADER_SIZE, MAX_PAYLOAD
from interceptor.wire.layer import EMPTY, Layer
from interceptor.wire.limits import Limits
from interceptor.wire.reasons import Reason

PING_EVERY = 1.0  # seconds
SILENCE = 5.0  # without a byte: the path is gone, whatever TCP hopes
GREETING_TIME = 10.0  # from the first byte to the peer's HELLO
ENOUGH = 16 * 1024  # a message with less room than this goes out before more is read
LEAST_WAIT = 0.001  # seconds between two bulk streams that wait for their turn
MOST_PARTS = 64  # pieces in one system call
MOST_HELD = 64 * 1024 * 1024  # bytes held for all slow sockets of one tunnel together


class MuxUser(Protocol):
    """Who a mux serves: the agent's `tunnels`, the client's `tunnel.client`."""

    def mux_greeted(self) -> None:
        """The peer's HELLO is in: streams may be opened."""

    def mux_opened(self, relay: Relay, target: dict[str, Any]) -> None:
        """The peer asks to connect `target`: answer by `accept` or `refuse`, now or later."""

    def mux_control(self, message: dict[str, Any]) -> None:
        """A message beside the streams."""

    def mux_ended(self, reason: Reason, text: str) -> None:
        """The tunnel is over, whoever ended it; every relay was told. Called once."""

    def mux_shut(self) -> None:
        """Its socket was given back: the last frames are out, or can't get out. Called once, a second later at most."""


class Mux:
    """One end of one tunnel."""

    def __init__(
        self,
        poller: Poller,
        role: Role,
        session: str,
        user: MuxUser,
        *,
        limits: Limits = Limits(),  # noqa: B008  immutable
        silence: float = SILENCE,
    ) -> None:
        self.poller = poller
        self.connection = Connection(role, session, limits=limits)
        self._scratch = memoryview(bytearray(MAX_PAYLOAD + HEADER_SIZE + MAX_PAYLOAD))  # queued frames, header, payload
        self.payload = self._scratch[MAX_PAYLOAD + HEADER_SIZE :]  # relays read their sockets into it
        self.relays: dict[int, Relay] = {}
        self.held = 0
        self.round = 0  # counts up with each pong: what a relay sent since then is its burst
        self.pace = Pace(poller.now())
        self.courtesy = Courtesy()
        self._user = user
        self._silence = silence
        self._link: Link | None = None
        self._waiting: dict[Relay, None] = {}  # would read if the link were not full, first come first
        self._paced: dict[Relay, None] = {}  # would read on if less were on its way
        self._polite: dict[Relay, None] = {}  # would read on if others were not there
        self._next: Timer | None = None  # when the first of those may
        self._flush_asked = False
        self._greeted = False
        self._ended = False
        self._timer: Timer | None = None

    def start(self, sock: socket.socket, layers: Sequence[Layer], early: bytes = b"") -> None:
        """Begin on a connected non-blocking socket, whose owner this becomes."""
        self._link = Link(self.poller, sock, layers, self)
        self._timer = self.poller.call_later(GREETING_TIME, self._no_greeting)
        self._link.start(early)

    # --- verbs -----------------------------------------------------------------------------------------------

    def open(self, target: Mapping[str, Any]) -> Relay:
        """Ask the peer to connect `target`; attach a socket to the relay now or when it is accepted."""
        number = self.connection.open(target)
        relay = self.relays[number] = Relay(self, self.connection.streams[number])
        self.flush_soon()
        return relay

    def accept(self, relay: Relay, sock: socket.socket, info: Mapping[str, Any] | None = None) -> None:
        """Answer a stream of the peer's: connected, to `sock`."""
        if relay.finished:  # the opener gave up while we connected
            reset(sock)
            return
        self.accept_here(relay, info)
        relay.attach(sock)

    def accept_here(self, relay: Relay, info: Mapping[str, Any] | None = None) -> None:
        """Answer a stream of the peer's, alive: connected, to what serves it without a socket (`Relay.serve`)."""
        self.connection.accept(relay.number, info)
        relay.accepted = True
        self.flush_soon()

    def refuse(self, relay: Relay, reason: Reason, text: str) -> None:
        """Answer a stream of the peer's: not connected."""
        if not relay.finished:
            relay.reset(reason, text)

    def control(self, message: Mapping[str, Any]) -> None:
        """Send one JSON object; nobody is left to hear it once the tunnel is over."""
        if not self._ended:
            self.connection.control(message)
            self.flush_soon()

    def close(self, reason: Reason, text: str = "") -> None:
        """End the tunnel in order; relays are told, `mux_ended` is called."""
        self._end(reason, text)

    # --- for relays ------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the link wants no more data now."""
        return self._link is None or self._link.full

    @property
    def round_trip(self) -> float:
        """Seconds to the far end and back, of the last ping; 0 before the first."""
        return self.pace.round_trip

    def wait_for_link(self, relay: Relay) -> None:
        """Resume `relay` when the link has drained."""
        self._waiting[relay] = None

    def wait_for_pace(self, relay: Relay) -> None:
        """Resume `relay` when some of what is on its way has arrived."""
        self._paced[relay] = None
        self.flush_soon()  # the marks that tell of it may still be queued

    def others_come_first(self, relay: Relay) -> bool:
        """Whether a bulk stream has to leave the path to small messages for now; it is resumed when it may go on."""
        wait = self.courtesy.wait(self.poller.now())
        if wait <= 0:
            return False
        self._polite[relay] = None
        self._soon_next(wait)
        return True

    def bulk_sent(self, size: int) -> None:
        """A bulk stream has sent a message."""
        now = self.poller.now()
        if self.courtesy.sent(size, self.pace.cost, now):
            self.connection.ping(self.pace.mark(now, size))
            self.flush_soon()

    def _soon_next(self, wait: float) -> None:
        if self._next is None:
            self._next = self.poller.call_later(wait, self._let_next)

    def _let_next(self) -> None:
        """One of them, then the next: who is resumed may have nothing to read."""
        self._next = None
        if self._polite:
            relay = next(iter(self._polite))
            del self._polite[relay]
            relay.resume()
        if self._polite:
            self._soon_next(max(self.courtesy.wait(self.poller.now()), LEAST_WAIT))

    def room(self) -> int:
        """How much of a stream's bytes still fits into one message with what is queued."""
        waiting = self.connection.waiting
        if waiting > MAX_PAYLOAD - ENOUGH:
            self.flush()
            waiting = self.connection.waiting
        return max(ENOUGH, MAX_PAYLOAD - waiting)

    def send_direct(self, number: int, size: int) -> None:
        """Send the first `size` bytes of `payload` on a stream, now, in one message behind what is queued: no copy of it."""
        assert self._link is not None
        queued = self.connection.take()
        if len(queued) > MAX_PAYLOAD:
            self._count(len(queued))
            self._link.send(queued)
            queued = bytearray()
        self.connection.head(number, self._scratch[MAX_PAYLOAD:], size)
        start = MAX_PAYLOAD - len(queued)
        self._scratch[start:MAX_PAYLOAD] = queued
        message = self._scratch[start : MAX_PAYLOAD + HEADER_SIZE + size]
        self._count(len(message))
        self._link.send(message)

    def flush_soon(self) -> None:
        """Send what is queued at the end of this pass of the loop: many frames, one record, one system call."""
        if not self._flush_asked:
            self._flush_asked = True
            self.poller.call_soon(self.flush)

    def flush(self) -> None:
        """Send what is queued, unless the link is full: the protocol bounds what a peer that reads nothing makes wait."""
        self._flush_asked = False
        link, size = self._link, self.connection.waiting
        if size and self._greeted and not self._ended and link is not None and not link.full:
            self._count(size)
            link.send(self.connection.take())

    def _count(self, size: int) -> None:
        """Follow what is on its way; a due mark rides with the next message, or goes when somebody waits for it.

        Alone it would be a message of its own, and cost every hop the same wake-up as 64 KiB.
        """
        if self.pace.sent(size):
            self.connection.ping(self.pace.mark(self.poller.now()))

    def hold(self, relay: Relay, size: int) -> bool:
        """Count bytes kept for a slow socket; past the tunnel's bound the stream is reset (False)."""
        relay.queued += size
        self.held += size
        if self.held > MOST_HELD:
            relay.reset(Reason.MEMORY, f"{MOST_HELD >> 20} MiB are held for slow readers")
            return False
        return True

    def release(self, relay: Relay, size: int) -> None:
        """The reverse of `hold`, which also gives the credit back."""
        relay.queued -= size
        self.held -= size
        if self.connection.consumed(relay.number, size):
            self.flush_soon()

    def drop(self, relay: Relay) -> None:
        """A relay is finished."""
        self.relays.pop(relay.number, None)
        self._waiting.pop(relay, None)
        self._paced.pop(relay, None)
        self._polite.pop(relay, None)
        self.held -= relay.queued
        relay.queued = 0

    # --- for the link ----------------------------------------------------------------------------------------

    def link_ready(self) -> None:
        """See LinkUser: the layers are up, say HELLO."""
        self._greeted = True
        self.flush()

    def link_received(self, data: memoryview) -> None:
        """See LinkUser."""
        parts: list[memoryview] = []  # of one stream, in a row: they go to its socket in one system call
        number = 0
        connection = self.connection
        try:
            for event in connection.receive(data):
                if type(event) is DataReceived:
                    stream, view = event
                    if stream == number and len(parts) < MOST_PARTS:
                        parts.append(view)
                        continue
                    if parts:
                        self._deliver(number, parts)
                    number, parts = stream, [view]
                    continue
                if parts:
                    self._deliver(number, parts)
                    parts, number = [], 0
                _ON_EVENT[type(event)](self, event)
                if self._ended:
                    return
            if parts:
                self._deliver(number, parts)
        except RemoteProtocolError as violation:
            if parts:
                self._deliver(number, parts)
            self._end(Reason.PROTOCOL, str(violation))
            return
        if not self._flush_asked and connection.waiting:
            self.flush_soon()

    def _deliver(self, number: int, parts: list[memoryview]) -> None:
        relay = self.relays.get(number)
        if relay is not None:
            relay.stream_received(parts)

    def link_drained(self) -> None:
        """See LinkUser."""
        self.flush()
        waiting, self._waiting = self._waiting, {}
        for relay in waiting:
            relay.resume()

    def link_lost(self, text: str) -> None:
        """See LinkUser."""
        self._end(Reason.GONE, text)

    def link_shut(self) -> None:
        """See LinkUser."""
        self._scratch = self.payload = EMPTY  # as the link gives its own back
        self._user.mux_shut()

    # --- one per event ---------------------------------------------------------------------------------------

    def _on_hello(self, _: events.HelloReceived) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.poller.call_later(PING_EVERY, self._tick)
        self._user.mux_greeted()

    def _on_opened(self, event: events.StreamOpened) -> None:
        relay = self.relays[event.stream] = Relay(self, self.connection.streams[event.stream])
        self._user.mux_opened(relay, event.target)

    def _on_accepted(self, event: events.StreamAccepted) -> None:
        relay = self.relays.get(event.stream)
        if relay is not None:
            relay.stream_accepted()

    def _on_credited(self, event: events.Credited) -> None:
        relay = self.relays.get(event.stream)
        if relay is not None:
            relay.resume()

    def _on_ended(self, event: events.StreamEnded) -> None:
        relay = self.relays.get(event.stream)
        if relay is not None:
            relay.stream_ended()

    def _on_reset(self, event: events.StreamReset) -> None:
        relay = self.relays.get(event.stream)
        if relay is not None:
            relay.stream_reset(event.reason, event.text)

    def _on_pong(self, event: events.PongReceived) -> None:
        self.pace.answered(event.payload, self.poller.now())
        self.round += 1
        if self._paced and not self.pace.full:
            paced, self._paced = self._paced, {}
            for relay in paced:
                relay.resume()

    def _on_control(self, event: events.ControlReceived) -> None:
        self._user.mux_control(event.message)

    def _on_closed(self, event: events.Closed) -> None:
        self._end(event.reason, event.text)

    # --- time and the end ------------------------------------------------------------------------------------

    def _no_greeting(self) -> None:
        self._end(Reason.GONE, f"no greeting within {GREETING_TIME:.0f} s")

    def _tick(self) -> None:
        if self._ended:
            return
        assert self._link is not None
        quiet = self.poller.now() - self._link.received_at
        if quiet > self._silence:
            self._end(Reason.SILENCE, f"nothing heard for {quiet:.0f} s")
            return
        self.connection.ping(self.pace.mark(self.poller.now()))
        self.flush_soon()
        self._timer = self.poller.call_later(PING_EVERY, self._tick)

    def _end(self, reason: Reason, text: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self.connection.close(reason, text)  # no-op where the peer did so, or we for its violation
        if self._link is not None:
            if self._greeted and self.connection.waiting:
                self._link.send(self.connection.take())
            self._link.close(flush=reason not in (Reason.GONE, Reason.SILENCE))
        else:
            self._user.mux_shut()
        if self._next is not None:
            self._next.cancel()
        self._waiting.clear()
        for relay in list(self.relays.values()):
            relay.stream_reset(Reason.GONE, text)
        self._user.mux_ended(reason, text)


_ON_EVENT: dict[type, Callable[[Mux, Any], None]] = {
    events.HelloReceived: Mux._on_hello,
    events.StreamOpened: Mux._on_opened,
    events.StreamAccepted: Mux._on_accepted,
    events.Credited: Mux._on_credited,
    events.StreamEnded: Mux._on_ended,
    events.StreamReset: Mux._on_reset,
    events.PongReceived: Mux._on_pong,
    events.ControlReceived: Mux._on_control,
    events.Closed: Mux._on_closed,
}
