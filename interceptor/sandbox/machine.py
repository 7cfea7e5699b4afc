"""The places of this machine that COMMAND may reach (`--local`, `--local-net`): `outward` asks and dials.

Everything else that COMMAND connects to is the pod's, also localhost where nothing of the sandbox listens: there a
pod's sidecars are.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

from interceptor.tunnel.aio import AsyncioPoller
from interceptor.tunnel.dial import Address, Dial, reason_of
from interceptor.tunnel.errors import StreamRefused
from interceptor.tunnel.relay import reset
from interceptor.tunnel.splice import Splice

DIAL_TIME = 10.0
_BOTH = ("127.0.0.1", "::1")


class Machine:
    """Ports of this machine's loopback, places beyond it as (address, port), or the whole loopback."""

    def __init__(
        self, ports: Iterable[int] = (), places: Iterable[tuple[str, int]] = (), *, whole: bool = False
    ) -> None:
        self._ports, self._places, self._whole = frozenset(ports), frozenset(places), whole
        self._poller = AsyncioPoller(asyncio.get_running_loop())

    def has(self, address: str, port: int) -> bool:
        """Tell whether that is a place of this machine."""
        if ipaddress.ip_address(address).is_loopback:
            return self._whole or port in self._ports
        return (address, port) in self._places

    async def dial(self, address: str, port: int) -> Inside:
        """Connect to it. Raises StreamRefused."""
        done: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()

        def dialled(sock: socket.socket | None, error: OSError | None) -> None:
            if done.cancelled():  # in this very turn
                if sock is not None:
                    sock.close()
            elif sock is not None:
                done.set_result(sock)
            else:
                assert error is not None
                done.set_exception(error)

        hosts = _BOTH if ipaddress.ip_address(address).is_loopback else (address,)
        addresses: list[Address] = [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port)) for host in hosts
        ]
        dial = Dial(self._poller, addresses, DIAL_TIME, dialled)
        dial.start()
        try:
            return Inside(self._poller, await done)
        except OSError as error:
            raise StreamRefused(reason_of(error), f"{address}:{port} on this machine: {error.strerror}") from error
        except asyncio.CancelledError:
            dial.cancel()
            raise


class Inside:
    """A connection on this machine that waits for its other half. See `sandbox.proxy.Outgoing`."""

    def __init__(self, poller: AsyncioPoller, sock: socket.socket) -> None:
        self._poller, self._sock = poller, sock

    def attach(self, sock: socket.socket, early: bytes) -> None:
        """Join the two."""
        assert not early
        Splice(self._poller, sock, self._sock, _nothing)

    def abandon(self) -> None:
        """Nobody wants it any more."""
        reset(self._sock)


def _nothing() -> None:
    """Nobody waits for the end of a connection."""
