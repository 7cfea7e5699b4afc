"""Answers the kubelet's probes in the app's place, whatever the developer's process does; started by `__main__`.

The swap points every probe here. Readiness follows the session: a pod gets traffic once its tunnel is armed, keeps it
while the tunnel is away (callers wait), and loses it when the pod ends.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from interceptor.tunnel.poller import Poller, Timer

PATIENCE = 5.0
MOST_AT_ONCE = 64
MOST_HEAD = 4096


class Health:
    """`/ready` by `is_ready`; `/live` and `/started` are true while the loop runs."""

    def __init__(self, poller: Poller, is_ready: Callable[[], bool]) -> None:
        self._poller = poller
        self._is_ready = is_ready
        self._open: dict[_Request, None] = {}       # in the order in which they came

    def arrived(self, sock: socket.socket, _: tuple[str, int]) -> None:
        """A probe connects. Whoever says nothing for long makes room: others in the cluster may not starve the kubelet."""
        if len(self._open) >= MOST_AT_ONCE:
            next(iter(self._open)).end()
        self._open[_Request(self._poller, sock, self._answer)] = None

    def _answer(self, request: _Request, head: bytes) -> bytes:
        del self._open[request]
        path = head.split(b" ", 2)[1:2]
        good = path in ([b"/live"], [b"/started"]) or (path == [b"/ready"] and self._is_ready())
        status, body = ("200 OK", "ok\n") if good else ("503 Service Unavailable", "not ready\n")
        return (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class _Request:
    """One probe: read a head, answer, close. Always ends within PATIENCE."""

    def __init__(self, poller: Poller, sock: socket.socket, answer: Callable[[_Request, bytes], bytes]) -> None:
        self._poller, self._sock, self._answer = poller, sock, answer
        self._head = b""
        self._timer: Timer = poller.call_later(PATIENCE, self.end)
        poller.readable(sock.fileno(), self._read)

    def _read(self) -> None:
        try:
            data = self._sock.recv(MOST_HEAD)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self._head += data
        if not data or b"\r\n\r\n" in self._head or len(self._head) >= MOST_HEAD:
            self.end()

    def end(self) -> None:
        """Answer what was asked, or with 503 what was not, and close."""
        self._timer.cancel()
        answer = self._answer(self, self._head)
        self._poller.readable(self._sock.fileno(), None)
        with contextlib.suppress(OSError):  # the kubelet gave up: it counts that as a failure by itself
            self._sock.send(answer)         # fits any socket buffer
        self._sock.close()
