"""The developer's process as seen from here: where it is, and whether it listens yet; `intercept` asks."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Sequence

from interceptor.errors import InterceptorError
from interceptor.session.events import Event, Teller
from interceptor.tunnel.dial import Address, Make
from interceptor.tunnel.local import Port
from interceptor.workload.ports import PortMap

LOOK_EVERY = 0.05
SAY_AFTER = 1.0


async def addresses_of(ports: Sequence[PortMap], host: str) -> dict[Port, list[Address]]:
    """By port of the pod, where its callers go. Raises InterceptorError when `host` has no address."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InterceptorError(f"--to {host}: {error.strerror}", hint="give an address of this machine") from error
    return {
        (port.protocol, port.pod): [(family, (str(at[0]), port.local)) for family, _, _, _, at in found]
        for port in ports
    }


def is_loopback(host: str) -> bool:
    """Tell whether `host` names the loopback, which a sandbox has one of its own of."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def until_listening(
    ports: Sequence[PortMap], host: str, seconds: float, teller: Teller, make: Make = socket.socket
) -> None:
    """Return when every local TCP port accepts, or after `seconds`: until then the cluster's own pods go on serving."""
    loop = asyncio.get_running_loop()
    began, told = loop.time(), False
    for port in (one for one in ports if one.protocol == "TCP"):
        while not await _accepts(host, port.local, make):
            waited = loop.time() - began
            if waited > seconds:
                return
            if waited > SAY_AFTER and not told:
                told = True
                text = f"nothing listens on {host}:{port.local} yet; the cluster's own pods go on serving"
                teller.tell(Event("waiting", text, details={"port": port.local}))
            await asyncio.sleep(LOOK_EVERY)


async def _accepts(host: str, port: int, make: Make) -> bool:
    loop = asyncio.get_running_loop()
    try:
        for family, _, _, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with contextlib.suppress(OSError), make(family, socket.SOCK_STREAM) as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                return True
    except OSError:
        return False
    return False
