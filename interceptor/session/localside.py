"""The developer's process as seen from here: where it is, and whether it listens yet; `intercept` asks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from interceptor.errors import InterceptorError
from interceptor.session.events import Event, Teller
from interceptor.tunnel.dial import Address
from interceptor.workload.ports import PortMap

LOOK_EVERY = 0.05
SAY_AFTER = 1.0


async def addresses_of(ports: Sequence[PortMap], host: str) -> dict[int, list[Address]]:
    """By pod port, where its callers go. Raises InterceptorError when `host` has no address."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InterceptorError(f"--to {host}: {error.strerror}", hint="give an address of this machine") from error
    return {port.pod: [(family, (str(at[0]), port.local)) for family, _, _, _, at in found] for port in ports}


async def until_listening(ports: Sequence[PortMap], host: str, seconds: float, teller: Teller) -> None:
    """Return when every local port accepts, or after `seconds`: until then the cluster's own pods go on serving."""
    loop = asyncio.get_running_loop()
    began, told = loop.time(), False
    for port in ports:
        while not await _accepts(host, port.local):
            waited = loop.time() - began
            if waited > seconds:
                return
            if waited > SAY_AFTER and not told:
                told = True
                text = f"nothing listens on {host}:{port.local} yet; the cluster's own pods go on serving"
                teller.tell(Event("waiting", text, details={"port": port.local}))
            await asyncio.sleep(LOOK_EVERY)


async def _accepts(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
