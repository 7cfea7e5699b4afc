"""Asks the app whether it is ready, as its own readiness probe would; `in_place` does so once it runs beside the agent.

An HTTP probe is sent as such; for all others (commands, gRPC, HTTPS, none at all) it is enough that the port accepts.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from agent.hearing import hear
from interceptor.tunnel.dial import Dial
from interceptor.tunnel.poller import Poller, Timer

PATIENCE = 3.0
MOST_HEAD = 256
_FIRST_GOOD, _FIRST_BAD = 200, 400  # the kubelet's own limits


class AppProbe:
    """One attempt; calls `done` once. An empty path: connecting is enough."""

    def __init__(self, poller: Poller, host: str, port: int, path: str, done: Callable[[bool], None]) -> None:
        self._poller, self._host, self._port, self._path, self._done = poller, host, port, path, done
        self._sock: socket.socket | None = None
        self._timer: Timer | None = None
        self._head = b""

    def start(self) -> None:
        """Begin; `done` may be called before this returns."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        Dial(self._poller, [(family, (self._host, self._port))], PATIENCE, self._dialled).start()

    def _dialled(self, sock: socket.socket | None, _: OSError | None) -> None:
        self._sock = sock
        if sock is None or not self._path:
            self._end(sock is not None)
            return
        self._timer = self._poller.call_later(PATIENCE, lambda: self._end(False))
        try:
            sock.send(f"GET {self._path} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n".encode())
        except OSError:
            self._end(False)
            return
        self._poller.readable(sock.fileno(), self._read)

    def _read(self) -> None:
        assert self._sock is not None
        data = hear(self._sock, MOST_HEAD)
        if data is None:
            return
        self._head += data
        words = self._head.split(b" ", 2)
        if len(words) == 3 and words[0].startswith(b"HTTP/"):
            self._end(words[1].isdigit() and _FIRST_GOOD <= int(words[1]) < _FIRST_BAD)
        elif not data or len(self._head) >= MOST_HEAD:
            self._end(False)

    def _end(self, ready: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._sock is not None:
            self._poller.readable(self._sock.fileno(), None)
            self._sock.close()
        self._done(ready)
