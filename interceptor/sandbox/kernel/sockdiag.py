"""Which ports programs in the sandbox listen on: `ports` asks. Source: linux/inet_diag.h."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from interceptor.sandbox.kernel import netlink

_BY_FAMILY = 20
_LISTEN = 10


class Listening(NamedTuple):
    """One listening TCP socket."""

    family: int
    address: str
    port: int


def listening(sock: socket.socket) -> set[Listening]:
    """List them, of the namespace in which `sock` was made."""
    found = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        request = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, 1 << _LISTEN) + bytes(48)
        for body in netlink.dump(sock, _BY_FAMILY, request):
            (port,) = struct.unpack_from("!H", body, 4)
            size = 4 if family == socket.AF_INET else 16
            found.add(Listening(family, socket.inet_ntop(family, body[8 : 8 + size]), port))
    return found
