"""The client's end of one tunnel: `session.tunnels` starts one per agent pod, `sandbox.proxy` dials through it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interceptor.tunnel.aio import AsyncioPoller
from interceptor.tunnel.datagrams import Datagrams
from interceptor.tunnel.errors import StreamRefused
from interceptor.tunnel.local import LocalSide
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.observer import Watcher
from interceptor.tunnel.relay import Relay
from interceptor.wire.connection import Role
from interceptor.wire.layer import Layer
from interceptor.wire.reasons import Reason

ANSWER_TIME = 10.0
DIAL_TIME = 30.0  # the agent tries each address for ten seconds


class TunnelLost(Exception):
    """The tunnel ended, or never came up; `reason` and `text` say why."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


class Outgoing:
    """A connection made in the pod, waiting for its local socket. See `sandbox.proxy.Outgoing`."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def attach(self, sock: socket.socket, early: bytes = b"") -> None:
        """Relay between `sock` (non-blocking, connected) and the pod from now on; the tunnel owns it."""
        self._relay.attach(sock, early)

    def datagrams(self, on_datagram: Callable[[bytes | None], None], on_end: Callable[[], None]) -> Datagrams:
        """Have datagrams to and from the pod: the stream must have been opened with `udp`."""
        return Datagrams(self._relay, on_datagram, on_end)

    def abandon(self) -> None:
        """Nobody wants it any more."""
        self._relay.reset(Reason.CANCELLED)


Done = Callable[["Outgoing | None", "StreamRefused | None"], None]
"""Told once how an opening went: a connection, or why there is none."""


class Opening:
    """A stream that the agent was asked for. `cancel` gives it up: nobody is told then."""

    def __init__(self, loop: asyncio.AbstractEventLoop, relay: Relay, name: str, done: Done) -> None:
        self._relay, self._name, self._done = relay, name, done
        relay.on_accepted, relay.on_refused = self._accepted, self._refused
        self._timer = loop.call_later(DIAL_TIME, self._late)

    def cancel(self) -> None:
        """Want it no more."""
        self._end()
        self._relay.reset(Reason.CANCELLED)

    def _end(self) -> None:
        self._timer.cancel()
        self._relay.on_accepted = self._relay.on_refused = None

    def _accepted(self, relay: Relay) -> None:
        self._end()
        self._done(Outgoing(relay), None)

    def _refused(self, _: Relay, reason: Reason, text: str) -> None:
        self._end()
        self._done(None, StreamRefused(reason, text))

    def _late(self) -> None:
        self.cancel()
        self._done(None, StreamRefused(Reason.TIMEOUT, f"{self._name}: no answer in {DIAL_TIME:g} s"))


class Tunnel:
    """One tunnel to one agent. `ended` is set, with the reason, when it is over."""

    def __init__(
        self,
        session: str,
        local: LocalSide,
        on_message: Callable[[dict[str, Any]], None] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._mux = Mux(AsyncioPoller(self._loop, self._crashed), Role.CLIENT, session, self)
        self._local = local
        self._on_message = on_message
        self._watcher = watcher
        self._greeted: asyncio.Future[None] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._asked = 0
        self.ended: asyncio.Future[TunnelLost] = self._loop.create_future()
        self._shut: asyncio.Future[None] = self._loop.create_future()

    @property
    def round_trip(self) -> float:
        """Seconds of the last ping; 0 before the first."""
        return self._mux.round_trip

    @property
    def streams(self) -> int:
        """Connections alive in this tunnel."""
        return len(self._mux.relays)

    async def start(self, sock: socket.socket, layers: Sequence[Layer], early: bytes = b"") -> None:
        """Take over a connected socket and return when the agent has greeted. Raises TunnelLost."""
        self._mux.start(sock, layers, early)
        try:
            await self._greeted
        except asyncio.CancelledError:
            self.close(Reason.CANCELLED, "no longer wanted")
            raise

    async def dial(self, host: str, port: int) -> Outgoing:
        """Connect to `host` (resolved in the pod) and `port` from the pod. Raises StreamRefused."""
        return await self.open({"host": host, "port": port}, f"{host}:{port}")

    async def open(self, target: Mapping[str, Any], name: str) -> Outgoing:
        """Open a stream to whatever the agent serves under `target`; `name` is for people. Raises StreamRefused."""
        answer: asyncio.Future[Outgoing] = self._loop.create_future()

        def done(outgoing: Outgoing | None, refused: StreamRefused | None) -> None:
            if outgoing is not None:
                if answer.done():  # whoever asked was cancelled in this very pass
                    outgoing.abandon()
                else:
                    answer.set_result(outgoing)
            elif not answer.done():
                assert refused is not None
                answer.set_exception(refused)
                answer.exception()  # marked as heard: whoever asked may have stopped waiting

        opening = self.begin(target, name, done)
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                answer.result().abandon()
            else:
                opening.cancel()
            raise

    def begin(self, target: Mapping[str, Any], name: str, done: Done) -> Opening:
        """Do the same for whoever opens thousands a second, without a task for each. Raises StreamRefused if it is over."""
        if self.ended.done():
            raise StreamRefused(Reason.GONE, self.ended.result().text)
        relay = self._mux.open(target)
        if self._watcher is not None:
            relay.observer = self._watcher.outbound(target)
        return Opening(self._loop, relay, name, done)

    async def ask(
        self, action: str, fields: Mapping[str, object] | None = None, *, seconds: float = ANSWER_TIME
    ) -> dict[str, Any]:
        """Send a question to the agent and return its answer. Raises TunnelLost, also when it takes too long."""
        if self.ended.done():
            raise self.ended.result()
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._mux.control({"do": action, "id": number, **(fields or {})})
        self._answers[number] = answer
        try:
            async with asyncio.timeout(seconds):
                found: dict[str, Any] = await answer
                return found
        except TimeoutError:
            raise TunnelLost(Reason.TIMEOUT, f"the agent did not answer {action!r} in {seconds:g} s") from None
        finally:
            del self._answers[number]

    def close(self, reason: Reason, text: str = "") -> None:
        """End it in order. GOODBYE tells the agent that the session is over; it will not restore anything."""
        self._mux.close(reason, text)

    async def closed(self) -> None:
        """Return when the socket was given back: the last frames are out, or there was no way to send them."""
        await asyncio.shield(self._shut)

    def _crashed(self, error: Exception) -> None:
        """A bug of ours: end the tunnel rather than leave it half alive. The loop's handler gets the traceback."""
        text = f"internal error: {error!r}"
        try:
            self._mux.close(Reason.BROKEN, text)
        finally:
            if not self.ended.done():
                self.mux_ended(Reason.BROKEN, text)

    # --- for the mux -------------------------------------------------------------------------------------------

    def mux_greeted(self) -> None:
        """See MuxUser."""
        if not self._greeted.done():
            self._greeted.set_result(None)

    def mux_opened(self, relay: Relay, target: dict[str, Any]) -> None:
        """See MuxUser."""
        if self._watcher is not None:
            relay.observer = self._watcher.inbound(target)
        self._local.connect(self._mux, relay, target)

    def mux_control(self, message: dict[str, Any]) -> None:
        """See MuxUser."""
        number = message.get("reply")
        answer = self._answers.get(number) if isinstance(number, int) else None
        if answer is not None:
            if not answer.done():
                answer.set_result(message)
        elif self._on_message is not None and "event" in message:
            self._on_message(message)

    def mux_ended(self, reason: Reason, text: str) -> None:
        """See MuxUser."""
        if self.ended.done():  # it crashed, and ended again while that was told
            return
        lost = TunnelLost(reason, text or reason.name.lower())
        futures: list[asyncio.Future[Any]] = [self._greeted, *self._answers.values()]
        for waiting in futures:
            if not waiting.done():
                waiting.set_exception(lost)
                waiting.exception()  # marked as heard: whoever asked may have stopped waiting
        self.ended.set_result(lost)

    def mux_shut(self) -> None:
        """See MuxUser."""
        if not self._shut.done():
            self._shut.set_result(None)
