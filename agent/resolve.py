"""Names as the pod resolves them: `outbound` asks, on a worker thread, because getaddrinfo blocks."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from interceptor.tunnel.dial import Address


def literal(host: str, port: int) -> Address | None:
    """The address that `host` spells out; None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return family, (host, port)
    return None


def addresses(host: str, port: int) -> list[Address]:
    """The addresses of `host`, in the system's order of preference. Raises OSError when there are none.

    INTERCEPTOR_HOSTS names a file in the format of /etc/hosts that comes first: the embedded cluster has no DNS.
    """
    hosts = os.environ.get("INTERCEPTOR_HOSTS")
    if hosts:
        for line in Path(hosts).read_text().splitlines():
            number, *names = line.split("#")[0].split() or [""]
            if host.rstrip(".") in names:
                host = number
                break
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, (str(address[0]), port)) for family, _, _, _, address in found]
