"""The sandbox's only network device, its loopback: `child` brings it up with the pod's addresses and routes.

Every address is made local ("AnyIP"): the kernel completes both ends of a connection on this one device, so neither
address translation nor connection tracking is needed, and each end sees the addresses it would see in the pod. What
must leave is told from what is the sandbox's own by `rules`. Sources: linux/rtnetlink.h, linux/if_addr.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Sequence

from interceptor.sandbox.kernel import netlink

LOOPBACK_INDEX = 1  # in every network namespace
_NEWLINK, _NEWADDR, _NEWROUTE = 16, 20, 24
_IFF_UP = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NO_DUPLICATE_CHECK = 0x02
_RTA_OIF, _RTA_PREFSRC = 4, 7
_TABLE_LOCAL, _PROTOCOL_BOOT, _SCOPE_HOST, _TYPE_LOCAL = 255, 3, 254, 2


def bring_up(sock: socket.socket, addresses: Sequence[str]) -> None:
    """Start the loopback with the pod's addresses; a family it has none of gets no route, as in the pod."""
    netlink.request(sock, _NEWLINK, 0, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, LOOPBACK_INDEX, _IFF_UP, _IFF_UP))
    routed = set()
    for text in addresses:
        address = ipaddress.ip_address(text)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        body = struct.pack(
            "=BBBBI",
            family,
            address.max_prefixlen,
            _NO_DUPLICATE_CHECK if address.version == 6 else 0,
            0,
            LOOPBACK_INDEX,
        )
        for kind in (_IFA_LOCAL, _IFA_ADDRESS):
            body += netlink.attribute(kind, address.packed)
        netlink.request(sock, _NEWADDR, netlink.CREATE, body)
        if family not in routed:
            routed.add(family)
            body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _TABLE_LOCAL, _PROTOCOL_BOOT, _SCOPE_HOST, _TYPE_LOCAL, 0)
            body += netlink.attribute(_RTA_OIF, struct.pack("=I", LOOPBACK_INDEX))
            body += netlink.attribute(_RTA_PREFSRC, address.packed)
            netlink.request(sock, _NEWROUTE, netlink.CREATE, body)
