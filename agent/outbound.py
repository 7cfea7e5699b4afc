"""Streams that the local process opens: resolves the name in the pod, connects from the pod. Called by `tunnels`."""

from __future__ import annotations

import functools
import socket
from typing import Any

from agent.resolve import addresses, literal
from agent.workers import Workers
from interceptor.tunnel.dial import Address, Dial, reason_of
from interceptor.tunnel.flows import Flows
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.poller import Poller
from interceptor.tunnel.relay import Relay
from interceptor.wire.reasons import Reason

DIAL_TIME = 10.0  # seconds per address


class Outbound:
    """Connects what the client asks for."""

    def __init__(self, poller: Poller, workers: Workers) -> None:
        self._poller = poller
        self._workers = workers
        self._flows = Flows(poller)

    def connect(self, mux: Mux, relay: Relay, target: dict[str, Any]) -> None:
        """Answer a stream for `{"host": name or number, "port": n}`; with `"udp": true` datagrams to a number."""
        host, port = target.get("host"), target.get("port")
        if not isinstance(host, str) or not isinstance(port, int) or not 0 < port < 65536:
            mux.refuse(relay, Reason.DENIED, "a target needs host and port")
            return
        number = literal(host, port)
        if target.get("udp"):
            if number is None:
                mux.refuse(relay, Reason.DENIED, "datagrams go to an address, not to a name")
            else:
                self._flows.connect(mux, relay, *number)
            return
        if number is not None:  # nothing to wait for
            self._resolved(mux, relay, host, [number], None)
            return
        resolved = functools.partial(self._resolved, mux, relay, host)
        self._workers.run(lambda: addresses(host, port), resolved)

    def _resolved(
        self, mux: Mux, relay: Relay, host: str, found: list[Address] | None, error: Exception | None
    ) -> None:
        if relay.finished:
            return
        if isinstance(error, socket.gaierror):
            mux.refuse(relay, Reason.NAME, f"{host}: {error.strerror}")
        elif error is not None or not found:
            mux.refuse(relay, Reason.NAME, f"{host}: {error or 'no address'}")
        else:
            dial = Dial(self._poller, found, DIAL_TIME, functools.partial(self._dialled, mux, relay, host))
            relay.on_finished = lambda _: dial.cancel()
            dial.start()

    def _dialled(self, mux: Mux, relay: Relay, host: str, sock: socket.socket | None, error: OSError | None) -> None:
        relay.on_finished = None
        if sock is not None:
            mux.accept(relay, sock)
        elif error is not None:
            mux.refuse(relay, reason_of(error), f"{host}: {error.strerror or error}")
