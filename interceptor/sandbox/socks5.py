"""SOCKS5 (RFC 1928) as values: bytes in, a request out, and the bytes to answer with; `sandbox.proxy` drives it.

Only CONNECT, without authentication: what COMMAND needs. A name is passed on as it is, to be resolved in the pod.
"""

import ipaddress
from typing import NamedTuple

from interceptor.wire.reasons import Reason

VERSION = 5
NO_AUTHENTICATION = b"\x05\x00"
NO_ACCEPTABLE_METHOD = b"\x05\xff"
SUCCEEDED = 0
FAILURE = 1
COMMAND_NOT_SUPPORTED = 7
ADDRESS_NOT_SUPPORTED = 8

_REPLIES = {
    Reason.REFUSED: 5,
    Reason.UNREACHABLE: 4,
    Reason.NETWORK: 3,
    # "TTL expired" is what tor, ssh and others say for a dial that timed out; there is no better code.
    Reason.TIMEOUT: 6,
    Reason.NAME: 4,
    Reason.DENIED: 2,
}


class Socks5Error(Exception):
    """The client asked for something else than SOCKS5 CONNECT; `reply` is the answer before closing."""

    def __init__(self, text: str, reply: bytes) -> None:
        super().__init__(text)
        self.reply = reply


class Target(NamedTuple):
    """Where a client wants to go."""

    host: str
    port: int


def greeting_length(data: bytes) -> int | None:
    """Tell how long the greeting at the start of `data` is; None while some of it is missing.

    Raises Socks5Error when the client offers no method we take.
    """
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    if 0 not in data[2 : 2 + data[1]]:
        raise Socks5Error("the client insists on authentication", NO_ACCEPTABLE_METHOD)
    return 2 + data[1]


def parse_request(data: bytes) -> tuple[Target, int] | None:
    """Read the request at the start of `data`: the target and the request's length; None while some is missing."""
    if len(data) < 5:
        return None
    version, command, _, kind, first = data[:5]
    if version != VERSION:
        raise Socks5Error("the request is not SOCKS5", reply(FAILURE))
    if command != 1:
        raise Socks5Error("only CONNECT is possible", reply(COMMAND_NOT_SUPPORTED))
    start, length = {1: (4, 4), 3: (5, first), 4: (4, 16)}.get(kind, (0, 0))
    if not length:
        raise Socks5Error("the address is of no known type", reply(ADDRESS_NOT_SUPPORTED))
    end = start + length
    if len(data) < end + 2:
        return None
    address = data[start:end]
    port = int.from_bytes(data[end : end + 2], "big")
    return Target(_host(kind, address), port), end + 2


def reply(code: int) -> bytes:
    """Make the answer to a request. The address bound is told as 0.0.0.0:0: it lies in the pod and helps nobody."""
    return bytes((VERSION, code, 0, 1)) + bytes(6)


def code_of(reason: Reason) -> int:
    """Translate why the pod could not connect."""
    return _REPLIES.get(reason, FAILURE)


def _host(kind: int, address: bytes) -> str:
    if kind != 3:
        return str(ipaddress.ip_address(address))
    host = address.decode("ascii", "replace")
    if not host.isprintable() or not host.isascii() or " " in host:
        raise Socks5Error("the name holds bytes that no host name has", reply(ADDRESS_NOT_SUPPORTED))
    return host
