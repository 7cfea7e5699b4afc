"""Accepts TCP connections on one port of the pod and hands them on; used for the app's ports, tunnel and health."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from agent.binding import bind
from interceptor.tunnel.poller import Poller

ACCEPTS_A_TURN = 64
Arrived = Callable[[socket.socket, "tuple[str, int]"], None]


class Listener:
    """One port. `host` empty means every address, IPv6 too where the pod has it."""

    def __init__(self, poller: Poller, host: str, port: int, arrived: Arrived) -> None:
        self._poller = poller
        self._arrived = arrived
        self._sock = bind(host, port, socket.SOCK_STREAM)
        self._family = int(self._sock.family)
        self.port = port
        poller.readable(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more than who is in the queue: the kernel would reset them. A second call does nothing."""
        if self._sock.fileno() >= 0:
            self._accept()
            self._poller.readable(self._sock.fileno(), None)
            self._sock.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                # Not `accept`: it looks the family and the kind up in their enums, 6 us of each connection.
                descriptor, peer = self._sock._accept()  # type: ignore[attr-defined]  # not in typeshed
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                # Out of descriptors: the queue waits in the kernel until some were given back.
                self._poller.readable(self._sock.fileno(), None)
                self._poller.call_later(0.1, self._again)
                return
            sock = socket.socket(self._family, socket.SOCK_STREAM, 0, descriptor)
            sock.setblocking(False)
            self._arrived(sock, (peer[0].removeprefix("::ffff:"), peer[1]))

    def _again(self) -> None:
        if self._sock.fileno() >= 0:
            self._poller.readable(self._sock.fileno(), self._accept)
