"""The pod's place in its network, for the local process's sandbox; `tunnels` sends it to the developer's machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

# Addresses for documentation (RFC 5737, RFC 3849): connecting a UDP socket to them sends nothing, it asks for the route.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def network() -> dict[str, object]:
    """Its own addresses, one of each family that has a way out, its name, and how it resolves names."""
    return {
        "addresses": [os.environ["INTERCEPTOR_BIND"]] if os.environ.get("INTERCEPTOR_BIND") else _addresses(),
        "hostname": socket.gethostname(),
        "resolv": _text("/etc/resolv.conf"),
        "hosts": _text("/etc/hosts"),
    }


def _addresses() -> list[str]:
    found = []
    for family, host in _ELSEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((host, 9))
                found.append(str(sock.getsockname()[0]))
        except OSError:
            continue  # no such family, or no route of it
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="surrogateescape")
    except OSError:
        return ""
