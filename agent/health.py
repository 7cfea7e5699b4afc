"""Answers the kubelet's probes in the app's place, whatever the developer's process does; started by `__main__`.

The swap points every probe here. Readiness follows the session: a pod gets traffic once its tunnel is armed, keeps it
while the tunnel is away (callers wait), and loses it when the pod ends. A readiness probe that comes too early is not
refused but answered when the time has come: the kubelet would ask again only a second later. In a pod that ends, that
time won't come: there it is refused at once. Other pages (`status`) are for who is inside the pod.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping

from agent.hearing import hear
from interceptor.tunnel.poller import Poller, Timer

PATIENCE = 5.0
READY_WAIT = 4.0  # less than the probe's timeoutSeconds, which the swap sets to 5
MOST_AT_ONCE = 64
MOST_HEAD = 4096
PAGE_WAIT = 30.0  # a probe of all ports may take that long

Page = Callable[[Callable[[bytes], None]], None]
"""Calls what it is given with a body, now or later."""


class Health:
    """`/ready` by `is_ready`; `/live` and `/started` are true while the loop runs; `pages` for callers on loopback."""

    def __init__(self, poller: Poller, is_ready: Callable[[], bool], is_ending: Callable[[], bool]) -> None:
        self._poller = poller
        self._is_ready = is_ready
        self._is_ending = is_ending
        self.pages: Mapping[bytes, Page] = {}
        self._open: dict[_Request, None] = {}  # in the order in which they came

    def arrived(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        """A probe connects. Whoever says nothing for long makes room: others in the cluster may not starve the kubelet."""
        if len(self._open) >= MOST_AT_ONCE:
            next(iter(self._open)).end()
        inside = peer[0].startswith("127.") or peer[0] == "::1"
        self._open[_Request(self._poller, sock, self._may_wait, self._answer, self.pages if inside else {})] = None

    def look_again(self) -> None:
        """Readiness may have changed: answer the probes that wait for it."""
        for request in [request for request in self._open if request.waits]:
            if self._is_ready() or self._is_ending():
                request.end()

    def _may_wait(self, head: bytes) -> bool:
        return _path(head) == b"/ready" and not (self._is_ready() or self._is_ending())

    def _answer(self, request: _Request, head: bytes) -> bytes:
        del self._open[request]
        path = _path(head)
        good = path in (b"/live", b"/started") or (path == b"/ready" and self._is_ready())
        status, body = ("200 OK", "ok\n") if good else ("503 Service Unavailable", "not ready\n")
        return _http(status, "text/plain", body.encode())


class _Request:
    """One probe: read a head, answer, close. Always ends within PATIENCE, or PAGE_WAIT."""

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        may_wait: Callable[[bytes], bool],
        answer: Callable[[_Request, bytes], bytes],
        pages: Mapping[bytes, Page],
    ) -> None:
        self._poller, self._sock, self._may_wait, self._answer = poller, sock, may_wait, answer
        self._pages = pages
        self._head = b""
        self._over = False
        self._asked = False  # a page: it comes when it comes
        self.waits = False
        self._timer: Timer = poller.call_later(PATIENCE, self.end)
        poller.readable(sock.fileno(), self._read)

    def _read(self) -> None:
        data = hear(self._sock, MOST_HEAD)
        if data is None:
            return
        self._head += data
        if data and not self._asked and b"\r\n\r\n" in self._head and (page := self._pages.get(_path(self._head))):
            self._asked = True
            self._wait(PAGE_WAIT)
            page(self._told)
        elif data and not self.waits and b"\r\n\r\n" in self._head and self._may_wait(self._head):
            self.waits = True
            self._wait(READY_WAIT)
        elif not data or b"\r\n\r\n" in self._head or len(self._head) >= MOST_HEAD:
            self.end()

    def _wait(self, seconds: float) -> None:
        self._timer.cancel()
        self._timer = self._poller.call_later(seconds, self.end)

    def _told(self, body: bytes) -> None:
        """The page is there; who asked may be gone."""
        if not self._over:
            self.end(_http("200 OK", "application/json", body))

    def end(self, page: bytes = b"") -> None:
        """Answer what was asked, or with 503 what was not, and close."""
        self._over = True
        self._timer.cancel()
        answer = self._answer(self, self._head)
        self._poller.readable(self._sock.fileno(), None)
        with contextlib.suppress(OSError):  # the kubelet gave up: it counts that as a failure by itself
            self._sock.send(page or answer)  # fits any socket buffer
        self._sock.close()


def _http(status: str, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _path(head: bytes) -> bytes:
    """What a request asks for; empty while that is not known."""
    words = head.split(b" ", 2)
    return words[1] if len(words) == 3 else b""
