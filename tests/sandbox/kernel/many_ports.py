"""A network namespace whose rules let many ports pass: prints how many rules there are after each of two loads, as JSON.

`test_rules` runs it as an unprivileged user.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

from interceptor.sandbox import doors
from interceptor.sandbox.kernel import netlink, system
from interceptor.sandbox.spec import Network
from tests.sandbox.world import ADDRESSES

_GET_RULE = 10 << 8 | 7
PORTS = tuple((protocol, port) for protocol in ("TCP", "UDP") for port in range(8000, 8200))


def load_and_count() -> int:
    doors._load_rules(Network(ADDRESSES, PORTS))
    with netlink.open_socket(netlink.NETFILTER) as sock:
        return len(netlink.dump(sock, _GET_RULE, struct.pack("!BBH", socket.AF_INET, 0, 0)))


def main() -> int:
    system.unshare(system.NEW_USER | system.NEW_NET)
    sys.stdout.write(f"{json.dumps([load_and_count(), load_and_count()])}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
