"""The kernel's queue of first packets: `outward` reads connections from it and gives a verdict on each.

Source: linux/netfilter/nfnetlink_queue.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from interceptor.sandbox.kernel import netlink
from interceptor.sandbox.kernel.rules import QUEUE

LONGEST = 8192  # connections that wait for a verdict; the kernel drops one more, and its program asks again
_SUBSYSTEM = 3 << 8
_PACKET, _VERDICT, _CONFIG = _SUBSYSTEM | 0, _SUBSYSTEM | 1, _SUBSYSTEM | 2
_COPIED = 128  # the headers
_DROP, _ACCEPT = 0, 1
_HEADER, _MARK, _PAYLOAD = 1, 3, 10
_RECEIVE_BUFFER = 4 << 20


class Pair(NamedTuple):
    """Who connects where."""

    source: tuple[str, int]
    target: tuple[str, int]


class Packet(NamedTuple):
    """A first packet that waits, and the number by which the kernel knows it."""

    number: int
    pair: Pair


def open_queue() -> socket.socket:
    """Bind the queue; in the sandbox's network namespace."""
    sock = netlink.open_socket(netlink.NETFILTER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    for content in (
        netlink.attribute(1, struct.pack("!BxH", 1, 0)),  # bind
        netlink.attribute(2, struct.pack("!IB", _COPIED, 2)),  # copy the packet
        netlink.big(3, LONGEST),
    ):
        netlink.request(sock, _CONFIG, 0, struct.pack("!BBH", socket.AF_UNSPEC, 0, QUEUE) + content)
    return sock


def packets(data: bytes) -> Iterator[Packet]:
    """Read what the kernel queued."""
    for kind, _, body in netlink.messages(data):
        if kind == _PACKET:
            found = netlink.attributes(body, 4)
            (number,) = struct.unpack_from("!I", found[_HEADER])
            yield Packet(number, _pair(found[_PAYLOAD]))


def accept(number: int, mark: int) -> bytes:
    """Let a packet go on, with a mark."""
    return _verdict(number, _ACCEPT, netlink.big(_MARK, mark))


def drop(number: int) -> bytes:
    """Lose a packet: its program's kernel sends it again, or times out."""
    return _verdict(number, _DROP, b"")


def _verdict(number: int, verdict: int, mark: bytes) -> bytes:
    body = struct.pack("!BBH", socket.AF_UNSPEC, 0, QUEUE)
    body += netlink.attribute(2, struct.pack("!II", verdict, number)) + mark
    return netlink.message(_VERDICT, netlink.REQUEST, body)


def _pair(packet: bytes) -> Pair:
    if packet[0] >> 4 == 4:
        source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        ports = (packet[0] & 15) * 4
    else:
        # As the listener's sockets spell them: `ipaddress` writes ::1.2.3.4 differently.
        source, target = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
        ports = 40  # a first packet of ours has no extension headers
    from_port, to_port = struct.unpack_from("!HH", packet, ports)
    return Pair((source, from_port), (target, to_port))
