"""A network namespace with the sandbox's rules: prints what its kernel answers to segments of a connection, as JSON.

`test_rules` runs it as an unprivileged user. TCP_REPAIR makes the program's end of a connection by hand, so that its
bytes arrive where no connection is, as they do when the kernel fails to find one (see `rules`).
"""

from __future__ import annotations

import errno
import json
import select
import socket
import struct
import sys
import time
from collections.abc import Mapping

from interceptor.sandbox import doors
from interceptor.sandbox.kernel import nfqueue, rules, system
from interceptor.sandbox.spec import Network
from tests.sandbox.world import ADDRESSES

FOREIGN = {socket.AF_INET: "203.0.113.9", socket.AF_INET6: "2001:db8:1::9"}
OWN = dict(zip(FOREIGN, ADDRESSES, strict=True))
PATIENCE = 30.0  # seconds
_REPAIR, _OFF_SILENTLY, _WINDOW = 19, -1, 29  # TCP_REPAIR, TCP_REPAIR_OFF_NO_WP, TCP_REPAIR_WINDOW: linux/tcp.h
_ESTABLISHED = 1


def unheard(family: socket.AddressFamily, target: str) -> str:
    """Say something on a connection that the kernel has only this end of: `sent again`, or the errno."""
    with socket.socket(family) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, _REPAIR, 1)
        sock.bind((OWN[family], 0))
        sock.connect((target, 8080))
        # snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup: nobody has told its window, so the bytes would wait
        sock.setsockopt(socket.IPPROTO_TCP, _WINDOW, struct.pack("=5I", 0, 65535, 65535, 65535, 0))
        sock.setsockopt(socket.IPPROTO_TCP, _REPAIR, _OFF_SILENTLY)
        sock.sendall(b"hello")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            ready, _, _ = select.select([sock], [], [], 0.05)
            if ready:
                return errno.errorcode[sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
            state, _, retransmits = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 3)
            if state == _ESTABLISHED and retransmits:
                return "sent again"
    return "nothing"


def closed(made: Mapping[str, socket.socket], family: socket.AddressFamily) -> str:
    """Go on talking to the client's end after that was closed: the errno."""
    listener = made[doors.TCP4 if family == socket.AF_INET else doors.TCP6]
    queue = made[doors.QUEUE]
    with socket.socket(family) as sock:
        sock.setblocking(False)
        sock.connect_ex((FOREIGN[family], 8080))
        select.select([queue], [], [], PATIENCE)
        (packet,) = nfqueue.packets(queue.recv(65536))
        queue.send(nfqueue.accept(packet.number, rules.LEAD))
        select.select([listener], [], [], PATIENCE)
        listener.accept()[0].close()
        select.select([sock], [], [], PATIENCE)
        assert sock.recv(1) == b""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                sock.send(b"hello")
            except BlockingIOError:
                select.select([], [sock], [], 0.05)
            except OSError as error:
                return errno.errorcode[error.errno or 0]
    return "nothing"


def main() -> int:
    system.unshare(system.NEW_USER | system.NEW_NET)
    made = dict(doors.make(Network(ADDRESSES, ())))
    families = [family for family in FOREIGN if family == socket.AF_INET or doors.TCP6 in made]
    said = {
        "unheard": [unheard(family, FOREIGN[family]) for family in families],
        "own": [unheard(family, OWN[family]) for family in families],
        "closed": [closed(made, family) for family in families],
    }
    sys.stdout.write(f"{json.dumps(said)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
