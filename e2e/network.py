"""This machine's own network as text, byte for byte: what a sandbox must leave alone, before, during and after.

Read from the kernel by netlink, not by programs that a machine may lack; packet rules by `nft` where it is to be had.
What a cluster on the same machine does for its pods is left out.
"""

import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path

from interceptor.sandbox.kernel import netlink

FILES = ("/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/nsswitch.conf", "/proc/sys/kernel/hostname")
SETTINGS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
OF_PODS = ("veth", "cni", "cali", "lxc")
_LINK, _ADDRESS, _ROUTE, _RULE = 18, 22, 26, 34
_NAME, _OIF = 3, 4
# Attributes to keep: the others count, or tell the time.
_KEPT = {_LINK: (1, 3, 4), _ADDRESS: (1, 2, 3, 4), _ROUTE: (1, 4, 5, 6, 7, 15), _RULE: tuple(range(1, 30))}
_HEAD = {_LINK: 16, _ADDRESS: 8, _ROUTE: 12, _RULE: 12}
_TABLES = 10 << 8 | 1


def network() -> dict[str, str]:
    """Files, interfaces, addresses, routes, rules of routing and of packets."""
    found = {f"file {path}": Path(path).read_text() for path in (*FILES, SETTINGS) if Path(path).exists()}
    with netlink.open_socket(netlink.ROUTE) as sock:
        links = dict(_link(body) for body in netlink.dump(sock, _LINK, bytes(16)))
        pods = {index for index, (name, _) in links.items() if name.startswith(OF_PODS)}
        found |= {f"interface {name}": text for index, (name, text) in links.items() if index not in pods}
        for kind, word in ((_ADDRESS, "address"), (_ROUTE, "route"), (_RULE, "rule")):
            bodies = netlink.dump(sock, kind, bytes(_HEAD[kind]))
            lines = sorted(_text(kind, body) for body in bodies if _device(kind, body) not in pods)
            found[word] = "\n".join(lines)
    if os.geteuid() == 0:  # nobody else may read them, or change them
        found["packet rules"] = _packet_rules()
    return found


def _link(body: bytes) -> tuple[int, tuple[str, str]]:
    (index,) = struct.unpack_from("=i", body, 4)
    name = netlink.attributes(body, 16)[_NAME].rstrip(b"\0").decode()
    return index, (name, _text(_LINK, body))


def _device(kind: int, body: bytes) -> int:
    if kind == _ADDRESS:
        (index,) = struct.unpack_from("=I", body, 4)
        return int(index)
    device = netlink.attributes(body, _HEAD[kind]).get(_OIF, b"") if kind == _ROUTE else b""
    return int.from_bytes(device, "little")


def _text(kind: int, body: bytes) -> str:
    kept = {name: value for name, value in netlink.attributes(body, _HEAD[kind]).items() if name in _KEPT[kind]}
    words = [f"{name}={kept[name].hex()}" for name in sorted(kept)]
    return " ".join([body[: _HEAD[kind]].hex(), *words])


def _packet_rules() -> str:
    program = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is not None:
        return subprocess.run([program, "-s", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    with netlink.open_socket(netlink.NETFILTER) as sock:
        tables = netlink.dump(sock, _TABLES, struct.pack("!BBH", socket.AF_UNSPEC, 0, 0))
    return "\n".join(sorted(table.hex() for table in tables))
