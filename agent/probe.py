"""Calls the pod's own ports as any caller would, through the tunnel to the local process: `tunnels` asks for it.

This is what `ready` and `status` rest on: a connection made from the caller's side, accepted by the developer's process,
and the word of that back here.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

from agent.config import Config
from agent.inbound import Inbound
from interceptor.tunnel.poller import Poller, Timer

PATIENCE = 5.0
_NOWHERE = ("192.0.2.1", 9)  # TEST-NET-1: connecting a UDP socket sends nothing, but picks our address


class Probe:
    """One round over all ports; calls `done` once with {"ok", "ms"} or {"ok", "error"}."""

    def __init__(
        self, poller: Poller, config: Config, inbound: Inbound, done: Callable[[dict[str, Any]], None]
    ) -> None:
        self._poller = poller
        self._inbound = inbound
        self._done = done
        self._host = config.bind or own_address()
        self._left = list(config.ports)
        self._began = poller.now()
        self._sock: socket.socket | None = None
        self._name = ("", 0)
        self._timer: Timer | None = None

    def start(self) -> None:
        """Probe the next port."""
        if not self._left:
            self._done({"ok": True, "ms": max(0.1, round((self._poller.now() - self._began) * 1000, 1))})
            return
        port = self._left.pop(0)
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_STREAM)
            self._sock = sock
            sock.setblocking(False)
            sock.bind((self._host, 0))
            self._name = sock.getsockname()[:2]
            self._inbound.probes[self._name] = self._heard  # before it connects: the listener must know it
            code = sock.connect_ex((self._host, port))
        except OSError as error:
            self._heard(f"the pod's own port {port}: {error.strerror}")
            return
        if code not in (0, errno.EINPROGRESS):
            self._heard(f"the pod's own port {port}: {errno.errorcode.get(code, code)}")
            return
        self._timer = self._poller.call_later(
            PATIENCE, lambda: self._heard(f"port {port}: no answer in {PATIENCE:g} s")
        )

    def _heard(self, failure: str) -> None:
        self._inbound.probes.pop(self._name, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._sock is not None:
            self._sock.close()
        if failure:
            self._done({"ok": False, "error": failure})
        else:
            self.start()


def own_address() -> str:
    """The pod's address towards others; loopback where it has none."""
    for family, nowhere in ((socket.AF_INET, _NOWHERE), (socket.AF_INET6, ("2001:db8::1", 9))):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(nowhere)
            return str(sock.getsockname()[0])
    return "127.0.0.1"
