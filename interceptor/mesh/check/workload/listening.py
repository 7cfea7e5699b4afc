"""Reads the kernel's list of sockets: which ports somebody listens on, and whether for everybody; `pods` asks."""

from __future__ import annotations

import enum

_LISTEN = "0A"  # TCP_LISTEN in include/net/tcp_states.h
_LOOPBACK_6 = "00000000000000000000000001000000"
_MAPPED_LOOPBACK_6 = "0000000000000000FFFF00000100007F"


class Heard(enum.Enum):
    """For whom a port is open."""

    EVERYBODY = enum.auto()
    LOOPBACK_ONLY = enum.auto()
    NOBODY = enum.auto()


LOOPBACK_ONLY, UNHEARD = Heard.LOOPBACK_ONLY, Heard.NOBODY


def listeners(text: str) -> dict[int, Heard]:
    """`/proc/net/tcp` and `tcp6`: addresses in hexadecimal, in the machine's byte order."""
    found: dict[int, Heard] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[3] != _LISTEN:
            continue
        address, _, port = fields[1].partition(":")
        heard = Heard.LOOPBACK_ONLY if _is_loopback(address) else Heard.EVERYBODY
        if found.get(int(port, 16)) is not Heard.EVERYBODY:
            found[int(port, 16)] = heard
    return found


def _is_loopback(address: str) -> bool:
    if len(address) == 8:
        return address.endswith("7F")  # 127.x.y.z, least significant byte first
    return address in (_LOOPBACK_6, _MAPPED_LOOPBACK_6)
