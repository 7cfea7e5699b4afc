"""The sockets by which the client serves a sandbox's network: `child` makes them inside, `namespace` receives them.

A socket belongs to the network namespace in which it was made, whichever process uses it: so the client, outside, has
the sandbox's connections and datagrams on its own loop, and no byte passes through another process.
"""

from __future__ import annotations

import errno
import os
import socket

from interceptor.sandbox.kernel import links, netlink, nfqueue, rules
from interceptor.sandbox.spec import Network

QUEUE, DIAG = "queue", "diag"
TCP4, TCP6, UDP4, UDP6, RAW4, RAW6 = "tcp4", "tcp6", "udp4", "udp6", "raw4", "raw6"
_BACKLOG = 4096
_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75
_IP_RECVORIGDSTADDR, _IPV6_RECVORIGDSTADDR = 20, 74
_UNPRIVILEGED_PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def make(network: Network) -> list[tuple[str, socket.socket]]:
    """Set up this network namespace, whose /proc may be another's, and make the sockets that serve it, by name."""
    with netlink.open_socket(netlink.ROUTE) as route:
        links.bring_up(route, [one for one in network.addresses if ":" not in one or _has_ipv6()])
    _load_rules(network)
    made = [(QUEUE, nfqueue.open_queue()), (DIAG, netlink.open_socket(netlink.SOCK_DIAG))]
    made += [(TCP4, _listener(socket.AF_INET)), (UDP4, _datagrams(socket.AF_INET)), (RAW4, _raw(socket.AF_INET))]
    if _has_ipv6():
        made += [(TCP6, _listener(socket.AF_INET6)), (UDP6, _datagrams(socket.AF_INET6))]
        made.append((RAW6, _raw(socket.AF_INET6)))
    return made


def free_low_ports() -> bool:
    """Let any program in here listen on ports below 1024, as in a pod of today's runtimes; False if that can't be."""
    try:
        with open(_UNPRIVILEGED_PORTS, "w") as setting:
            setting.write("0")
    except OSError as error:
        if error.errno not in (
            errno.EROFS,
            errno.EACCES,
            errno.ENOENT,
        ):  # not what a container's runtime does to /proc/sys
            raise
        return False
    return True


def _has_ipv6() -> bool:
    return os.path.exists("/proc/net/if_inet6")  # not where the machine was booted without


def _load_rules(network: Network) -> None:
    for compatible in (False, True):
        with netlink.open_socket(netlink.NETFILTER) as sock:
            try:
                rules.load(sock, network, ipv6=_has_ipv6(), compatible=compatible)
            except OSError as error:
                if compatible or error.errno != errno.ENOENT:
                    raise
            else:
                return


def _transparent(family: int, kind: int) -> socket.socket:
    """Make a socket that takes what was sent to any address."""
    sock = socket.socket(family, kind)
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
    # Its connections keep the port they were meant for; with this a program of the sandbox may still listen on it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def _door(family: int) -> tuple[str, int]:
    return ("127.0.0.1" if family == socket.AF_INET else "::1", rules.DOOR)


def _listener(family: int) -> socket.socket:
    sock = _transparent(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it accepts inherits both
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, rules.CONNECTED)
    sock.bind(_door(family))
    sock.listen(_BACKLOG)
    return sock


def _datagrams(family: int) -> socket.socket:
    sock = _transparent(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVORIGDSTADDR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVORIGDSTADDR, 1)
    sock.bind(_door(family))
    return sock


def _raw(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, rules.REPLY)
    return sock
