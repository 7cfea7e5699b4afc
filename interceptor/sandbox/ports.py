"""What COMMAND listens on, at the same port of this machine's loopback, for a browser, a debugger, a test; `session` runs it.

The kernel tells nobody that a socket begins to listen, so the sandbox's sockets are looked at ten times a second.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Callable
from functools import partial

from interceptor.sandbox.kernel import rules, sockdiag
from interceptor.sandbox.pool import Pool
from interceptor.tunnel.aio import AsyncioPoller
from interceptor.tunnel.dial import Address, Dial
from interceptor.tunnel.relay import reset
from interceptor.tunnel.splice import Splice

LOOK_EVERY = 0.1
DIAL_TIME = 5.0
PAUSE = 0.1  # nothing tells when a descriptor is free again; who knocks waits in the kernel's queue
NO_MEANS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})  # to accept a connection
_BACKLOG = 512
_HERE = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

Tell = Callable[[int, str], None]
"""Port, and "" when it is open here, else why it is not."""


class Ports:
    """The published ports of one sandbox."""

    def __init__(self, diag: socket.socket, pool: Pool, tell: Tell) -> None:
        self._diag, self._pool, self._tell = diag, pool, tell
        self._loop = asyncio.get_running_loop()
        self._poller = AsyncioPoller(self._loop)
        self._open: dict[int, list[socket.socket]] = {}
        self._targets: dict[int, list[Address]] = {}

    async def serve(self) -> None:
        """Publish until cancelled; connections that stand by then go on to their end."""
        try:
            while True:
                self._look()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            for port in list(self._open):
                self._close(port)

    def _look(self) -> None:
        targets: dict[int, list[Address]] = {}
        for one in sorted(sockdiag.listening(self._diag)):
            if one.port != rules.DOOR:
                targets.setdefault(one.port, []).extend(_reached_at(one))
        self._targets = targets
        for port in self._open.keys() - targets.keys():
            self._close(port)
        for port in targets.keys() - self._open.keys():
            self._publish(port)

    def _publish(self, port: int) -> None:
        listeners, why = [], ""
        for family, host in _HERE:
            try:
                listeners.append(socket.create_server((host, port), family=family, backlog=_BACKLOG))
            except OSError as error:
                if family == socket.AF_INET:
                    why = os.strerror(error.errno or 0)
                    break
        for listener in listeners:
            listener.setblocking(False)
            self._loop.add_reader(listener, self._accept, listener, port)
        self._open[port] = listeners
        self._tell(port, why)

    def _close(self, port: int) -> None:
        for listener in self._open.pop(port):
            self._loop.remove_reader(listener)
            listener.close()

    def _accept(self, listener: socket.socket, port: int) -> None:
        try:
            caller, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in NO_MEANS:
                raise
            self._loop.remove_reader(listener)
            self._loop.call_later(PAUSE, self._accept_again, listener, port)
            return
        caller.setblocking(False)
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        done = partial(self._joined, caller)
        Dial(self._poller, self._targets.get(port, []), DIAL_TIME, done, self._pool.take).start()

    def _accept_again(self, listener: socket.socket, port: int) -> None:
        if listener in self._open.get(port, []):
            self._loop.add_reader(listener, self._accept, listener, port)

    def _joined(self, caller: socket.socket, inside: socket.socket | None, _: OSError | None) -> None:
        if inside is None:
            reset(caller)
        else:
            Splice(self._poller, caller, inside, _nothing)


def _reached_at(one: sockdiag.Listening) -> list[Address]:
    """Where a listening socket is connected to from inside."""
    if not ipaddress.ip_address(one.address).is_unspecified:
        return [(one.family, (one.address, one.port))]
    if one.family == socket.AF_INET:
        return [(socket.AF_INET, ("127.0.0.1", one.port))]
    # It may take IPv4 too; what a program says about that is not seen from here.
    return [(socket.AF_INET6, ("::1", one.port)), (socket.AF_INET, ("127.0.0.1", one.port))]


def _nothing() -> None:
    """Nobody waits for the end of a connection."""
