"""A socket at one port of the pod: `listener` has TCP's made here, `inward` UDP's."""

from __future__ import annotations

import errno
import socket

BACKLOG = 4096


def bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """At every address where `host` is empty, IPv6's too where the pod has it; TCP's listens. Raises OSError."""
    if not host and socket.has_dualstack_ipv6():
        try:
            return _bind(socket.AF_INET6, "::", port, kind)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return _bind(socket.AF_INET6 if ":" in host else socket.AF_INET, host or "0.0.0.0", port, kind)


def _bind(family: socket.AddressFamily, host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it accepts inherits that
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of UDP it would let two have the same port
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
