"""Callers of the app's ports: `listener` hands them in, they go to the developer, wait, or go on to the cluster's pods.

A caller's socket is not read before somebody accepted it, so nothing is lost while it waits: not a lost tunnel, not a
local process that restarts, not the end of the session, when it is handed over to the pods that took our place. The
price is one round trip per new connection, none per request. Waiting is bounded by `hold`, then a 503 says why.
"""

from __future__ import annotations

import functools
import itertools
import socket
from collections.abc import Callable
from typing import Any

from agent.refusal import Refusal
from interceptor.tunnel.dial import Address, Dial
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.poller import Poller, Timer
from interceptor.tunnel.relay import Relay
from interceptor.tunnel.splice import Splice
from interceptor.wire.reasons import Reason

MOST_WAITING = 10_000
HANDOVER_DIAL = 3.0


class Caller:
    """A connection that nobody has accepted yet."""

    __slots__ = ("deadline", "peer", "port", "sock")

    def __init__(self, sock: socket.socket, port: int, peer: tuple[str, int], deadline: float) -> None:
        self.sock, self.port, self.peer, self.deadline = sock, port, peer, deadline


class Inbound:
    """Every connection to the app's ports, from accept to its end."""

    def __init__(self, poller: Poller, hold: float) -> None:
        self._poller = poller
        self._hold = hold
        self._mux: Mux | None = None
        self._paused = False  # the local process is gone for good: wait for a handover
        self._pods: itertools.cycle[str] | None = None  # addresses to hand over to
        self._waiting: dict[Caller, Timer] = {}
        self._callers: set[Caller] = set()  # whom nobody has accepted: waiting, offered, being handed over
        self._refusals: set[Refusal] = set()
        self._relays: set[Relay] = set()
        self._splices: set[Splice] = set()
        self._why = "the developer's machine is not connected yet"
        self.arrived_at = 0.0  # when the newest caller came
        self.probes: dict[tuple[str, int], Callable[[str], None]] = {}  # who is told, by the address it calls from

    @property
    def busy(self) -> int:
        """Connections that are not over."""
        return len(self._callers) + len(self._refusals) + len(self._relays) + len(self._splices)

    @property
    def waiting(self) -> int:
        """Callers that nobody has accepted yet."""
        return len(self._callers)

    @property
    def mux(self) -> Mux | None:
        """Where callers go just now; None while they wait, or go on to other pods."""
        return None if self._paused or self._pods is not None else self._mux

    def arrived(self, port: int, sock: socket.socket, peer: tuple[str, int]) -> None:
        """A new connection."""
        self.arrived_at = self._poller.now()
        caller = Caller(sock, port, peer, self.arrived_at + self._hold)
        self._callers.add(caller)
        if len(self._waiting) >= MOST_WAITING:
            self._refuse(caller, f"{MOST_WAITING} connections are waiting already; {self._why}")
        else:
            self._route(caller)

    # --- where to ----------------------------------------------------------------------------------------------

    def tunnel_up(self, mux: Mux) -> None:
        """A client is connected: everybody who waits goes there."""
        self._mux = mux
        self._retry()

    def tunnel_down(self, text: str) -> None:
        """No client any more: new callers wait for the next."""
        self._mux, self._why = None, f"the developer's machine is not connected ({text})"

    def pause(self, text: str) -> None:
        """The local process has ended for good: new callers wait for a handover."""
        self._paused, self._why = True, text

    def hand_over(self, pods: list[str]) -> None:
        """These pods serve again: pass callers on to them, now and from now on."""
        self._pods = itertools.cycle(pods) if pods else None
        self._retry()

    def give_up(self, text: str) -> None:
        """This pod has no more time: who waits is refused, and so is who would begin to."""
        self._paused, self._pods = True, None
        for caller in self._callers:
            caller.deadline = 0.0
        self._why = text
        self._retry()

    def _retry(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for caller, timer in waiting.items():
            timer.cancel()
            self._route(caller)

    def _route(self, caller: Caller) -> None:
        if self._pods is not None:
            self._hand_on(caller, next(self._pods))
        elif self._mux is not None and not self._paused:
            self._offer(caller, self._mux)
        else:
            self._wait(caller)

    def _wait(self, caller: Caller) -> None:
        left = caller.deadline - self._poller.now()
        if left <= 0:
            self._refuse(caller, self._why)
        else:
            late = functools.partial(self._late, caller)
            self._waiting[caller] = self._poller.call_later(left, late)

    def _late(self, caller: Caller) -> None:
        del self._waiting[caller]
        self._refuse(caller, f"waited {self._hold:g} s; {self._why}")

    def _refuse(self, caller: Caller, text: str) -> None:
        self._callers.discard(caller)
        refusal = Refusal(self._poller, caller.sock, text, self._refusals.discard)
        self._refusals.add(refusal)
        refusal.start()

    # --- to the developer --------------------------------------------------------------------------------------

    def _offer(self, caller: Caller, mux: Mux) -> None:
        target: dict[str, Any] = {"port": caller.port, "peer": f"{caller.peer[0]}:{caller.peer[1]}"}
        if caller.peer in self.probes:
            target["probe"] = True
        relay = mux.open(target)
        relay.on_accepted = functools.partial(self._accepted, caller)
        relay.on_refused = functools.partial(self._refused, caller, mux)
        relay.on_finished = self._finished
        self._relays.add(relay)

    def _accepted(self, caller: Caller, relay: Relay) -> None:
        self._callers.discard(caller)
        relay.on_refused = None
        relay.attach(caller.sock)
        if caller.peer in self.probes:
            self.probes.pop(caller.peer)("")

    def _refused(self, caller: Caller, mux: Mux, _: Relay, reason: Reason, text: str) -> None:
        if caller.peer in self.probes:
            self._callers.discard(caller)
            caller.sock.close()
            self.probes.pop(caller.peer)(text)
        elif reason is Reason.GONE:
            self._why = text
            self._poller.call_soon(functools.partial(self._sent_back, caller, mux))
        else:
            self._refuse(caller, text)

    def _sent_back(self, caller: Caller, mux: Mux) -> None:
        """The tunnel is gone, or it is up and nobody is left behind it: then a handover is to come, not another try."""
        if self._pods is None and self._mux is mux:
            self._wait(caller)
        else:
            self._again(caller)

    def _finished(self, relay: Relay) -> None:
        self._relays.discard(relay)

    # --- to the pods that took our place -----------------------------------------------------------------------

    def _hand_on(self, caller: Caller, pod: str) -> None:
        family = socket.AF_INET6 if ":" in pod else socket.AF_INET
        address: Address = (family, (pod, caller.port))
        Dial(self._poller, [address], HANDOVER_DIAL, functools.partial(self._handed_on, caller)).start()

    def _handed_on(self, caller: Caller, sock: socket.socket | None, error: OSError | None) -> None:
        if sock is None:
            assert error is not None
            self._why = f"the restored pods do not answer ({error.strerror})"
            self._poller.call_later(0.2, functools.partial(self._again, caller))
            return
        self._callers.discard(caller)
        splice: Splice
        splice = Splice(self._poller, caller.sock, sock, lambda: self._splices.discard(splice))
        self._splices.add(splice)

    def _again(self, caller: Caller) -> None:
        if caller.deadline <= self._poller.now():
            self._refuse(caller, self._why)
        else:
            self._route(caller)

    # --- the end -----------------------------------------------------------------------------------------------

    def end_idle(self, seen: dict[Relay, int]) -> dict[Relay, int]:
        """Half-close connections on which nothing moved since `seen` was returned by the last call.

        Not those whose last bytes came from the caller: there an answer is still to come, however long it takes.
        """
        for relay, moved in seen.items():
            if relay in self._relays and relay.moved == moved and relay.sock is not None and not relay.asking:
                relay.end()
        return {relay: relay.moved for relay in self._relays}
