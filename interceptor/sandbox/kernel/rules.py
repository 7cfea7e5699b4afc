"""The sandbox's packet rules: which packets are its own, and what becomes of the first packet of each that leaves.

`child` loads them. A connection's SYN waits in a queue (`nfqueue`) until the pod has said whether it can connect, and
goes on with a mark: LEAD to the client's listener, the others to the answer that the pod's kernel would have given, so
that every program sees the pod's errno, whether its connect() blocks or not. Datagrams go to the client's socket.
Everything after the first packet of a connection passes by: sockets are found by their addresses. Now and then the
kernel fails to find one: while one processor puts the connection in the place of its request, another that looks for it
(COMMAND's first bytes, hard behind the handshake) may see neither, and answers with a reset. It was one connection of
20,000. That answer is kept back, and COMMAND's kernel sends the bytes again, 0.2 s later. The kernel's
`queue` expression is missing in some kernels that have the older `NFQUEUE` target, hence the choice.
Source: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Sequence

from interceptor.sandbox.kernel.netlink import (
    ACK,
    APPEND,
    CREATE,
    REQUEST,
    attribute,
    big,
    message,
    nested,
    request_all,
    text,
)
from interceptor.sandbox.spec import Network

LEAD = 1  # a mark: to the client's listener
REFUSE, HOST_UNREACHABLE, NET_UNREACHABLE, PROHIBIT = 2, 3, 4, 5  # marks: answered as a refusing host or router would
REPLY = 9  # a mark: the client's own packets, an answer to a datagram
CONNECTED = 10  # a mark: from the client's end of a connection, resets included; one without was sent by no socket
QUEUE = 0
DOOR = 1  # the port of the client's sockets on the sandbox's loopback: no program binds TCPMUX

_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = _SUBSYSTEM | 0, _SUBSYSTEM | 2, _SUBSYSTEM | 3, _SUBSYSTEM | 6
# Messages in a batch. One send takes 200 KiB (SO_SNDBUF), and the acknowledgements of all, 0.75 KiB each as the kernel
# counts, have to fit into as much: 80 intercepted ports were too many for one batch.
_AT_ONCE = 64
_TABLE = "interceptor"
_PREROUTING, _INPUT, _OUTPUT = 0, 1, 3
_SORT, _LEAD, _TELL, _KEEP = -150, -140, 0, 0  # priorities
_REGISTER, _SECOND = 1, 2
_NETWORK, _TRANSPORT = 1, 2
_MARK, _PROTOCOL = 3, 16
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_NUMBERS = {"TCP": _TCP, "UDP": _UDP}
_ECHO_REQUEST = {4: 8, 6: 128}
# type and code of the reject expression; ICMP codes from RFC 792, RFC 1122, RFC 4443
_REJECTS = {
    4: {REFUSE: (1, 0), HOST_UNREACHABLE: (0, 1), NET_UNREACHABLE: (0, 0), PROHIBIT: (0, 13)},
    6: {REFUSE: (1, 0), HOST_UNREACHABLE: (0, 3), NET_UNREACHABLE: (0, 0), PROHIBIT: (0, 1)},
}
_SHARED = {4: ("224.0.0.0/4", "255.255.255.255/32"), 6: ("ff00::/8",)}  # nobody the pod could reach for us
_LOOPBACK = {4: "127.0.0.0/8", 6: "::1/128"}


def load(sock: socket.socket, network: Network, *, ipv6: bool = True, compatible: bool) -> None:
    """Load the rules for both families; `compatible` takes NFQUEUE for `queue`. Raises OSError.

    What a try before left is replaced: it may have ended between two batches.
    """
    made: list[bytes] = []
    for version in (4, 6) if ipv6 else (4,):
        own = [_LOOPBACK[version]]
        addresses = network.addresses
        own += [str(ipaddress.ip_network(one)) for one in addresses if ipaddress.ip_address(one).version == version]
        made += _family(version, own, network, compatible=compatible)
    for start in range(0, len(made), _AT_ONCE):
        batch = [_batch(_BATCH_BEGIN), *made[start : start + _AT_ONCE], _batch(_BATCH_END)]
        numbered = [part[:8] + struct.pack("=I", number) + part[12:] for number, part in enumerate(batch)]
        request_all(sock, numbered, set(range(1, len(batch) - 1)))


def _family(version: int, own: Sequence[str], network: Network, *, compatible: bool) -> list[bytes]:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    icmp = _ICMP if version == 4 else _ICMP6
    syn = _tcp_flags_other_than_syn()
    queue = _queue_target() if compatible else _queue()
    sort: list[list[bytes]] = [
        [*_is(_MARK, REPLY), _verdict(1)],
        *_own(version, own, network, "TCP"),
        *[[*_is(_PROTOCOL, icmp), *_to(version, place), _verdict(1)] for place in own],
        [*_is(_PROTOCOL, icmp), *_echo_request(version), _verdict(0)],  # nobody of us may answer for another host
        [*_is(_PROTOCOL, _TCP), queue],
    ]
    lead: list[list[bytes]] = [
        [*_is(_MARK, REPLY), _verdict(1)],
        [*_is(_PROTOCOL, _TCP), *_is(_MARK, LEAD), *_redirect(version)],
        *[[*_is(_PROTOCOL, _UDP), *_to(version, place), _verdict(1)] for place in _SHARED[version]],
        *_own(version, own, network, "UDP"),
        [*_is(_PROTOCOL, _UDP), *_redirect(version)],
    ]
    tell = [[*_is(_PROTOCOL, _TCP), *_is(_MARK, mark), _reject(*how)] for mark, how in _REJECTS[version].items()]
    keep: list[list[bytes]] = [
        *[[*_is(_PROTOCOL, _TCP), *_from(version, place), _verdict(1)] for place in own],
        [*_is(_PROTOCOL, _TCP), *_is(_MARK, 0), *_tcp_reset_to_no_first_packet(), _verdict(0)],
    ]
    sort.insert(1, [*_is(_PROTOCOL, _TCP), *syn, _verdict(1)])
    table = _body(_NEW_TABLE, family, CREATE, text(1, _TABLE))
    made = [table, _body(_DELETE_TABLE, family, 0, text(1, _TABLE)), table]
    for name, hook, priority, rules in (
        ("sort", _PREROUTING, _SORT, sort),
        ("lead", _PREROUTING, _LEAD, lead),
        ("tell", _INPUT, _TELL, tell),
        ("keep", _OUTPUT, _KEEP, keep),
    ):
        at = nested(4, big(1, hook), attribute(2, struct.pack("!i", priority)))
        made.append(_body(_NEW_CHAIN, family, CREATE, text(1, _TABLE) + text(3, name) + at + text(7, "filter")))
        for rule in rules:
            content = text(1, _TABLE) + text(2, name) + nested(4, *rule)
            made.append(_body(_NEW_RULE, family, CREATE | APPEND, content))
    return made


def _own(version: int, own: Sequence[str], network: Network, protocol: str) -> list[list[bytes]]:
    """Rules that let pass what is COMMAND's: its sockets' and its intercepted ports'."""
    to_own = [[*_is(_PROTOCOL, _NUMBERS[protocol]), *_to(version, place)] for place in own]
    ports = [number for of, number in network.own_ports if of == protocol]
    return [[*rule, *match, _verdict(1)] for match in (_own_socket(), *map(_port, ports)) for rule in to_own]


def _batch(kind: int) -> bytes:
    return message(kind, REQUEST, struct.pack("!BBH", 0, 0, _SUBSYSTEM >> 8))


def _body(kind: int, family: int, flags: int, content: bytes) -> bytes:
    return message(kind, REQUEST | ACK | flags, struct.pack("!BBH", family, 0, 0) + content)


# --- expressions ------------------------------------------------------------------------------------------------------


def _expression(name: str, *inner: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *inner))


def _equal(value: bytes, *, unlike: bool = False) -> bytes:
    return _expression("cmp", big(1, _REGISTER), big(2, int(unlike)), nested(3, attribute(1, value)))


def _is(key: int, value: int) -> list[bytes]:
    load = _expression("meta", big(1, _REGISTER), big(2, key))
    return [load, _equal(struct.pack("=I", value) if key == _MARK else bytes([value]))]


def _payload(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", big(1, _REGISTER), big(2, base), big(3, offset), big(4, length))


def _masked(length: int, mask: bytes) -> bytes:
    none = nested(5, attribute(1, bytes(length)))
    return _expression(
        "bitwise", big(1, _REGISTER), big(2, _REGISTER), big(3, length), nested(4, attribute(1, mask)), none
    )


def _to(version: int, network: str) -> list[bytes]:
    """The destination is in `network`."""
    return _address(network, *((16, 4) if version == 4 else (24, 16)))


def _from(version: int, network: str) -> list[bytes]:
    """The source is in `network`."""
    return _address(network, *((12, 4) if version == 4 else (8, 16)))


def _address(network: str, offset: int, length: int) -> list[bytes]:
    parsed = ipaddress.ip_network(network)
    mask = [] if parsed.prefixlen == parsed.max_prefixlen else [_masked(length, parsed.netmask.packed)]
    return [_payload(_NETWORK, offset, length), *mask, _equal(parsed.network_address.packed)]


def _port(port: int) -> list[bytes]:
    return [_payload(_TRANSPORT, 2, 2), _equal(struct.pack("!H", port))]


def _tcp_flags_other_than_syn() -> list[bytes]:
    """Of FIN, SYN, RST and ACK not just SYN: no first packet."""
    return [_payload(_TRANSPORT, 13, 1), _masked(1, b"\x17"), _equal(b"\x02", unlike=True)]


def _tcp_reset_to_no_first_packet() -> list[bytes]:
    """RST and not ACK: the answer to an ACK of no connection; a refused SYN gets both (RFC 9293, 3.10.7.1)."""
    return [_payload(_TRANSPORT, 13, 1), _masked(1, b"\x14"), _equal(b"\x04")]


def _echo_request(version: int) -> list[bytes]:
    return [_payload(_TRANSPORT, 0, 1), _equal(bytes([_ECHO_REQUEST[version]]))]


def _own_socket() -> list[bytes]:
    """A program of the sandbox has a socket there; the client's own are told apart by being transparent."""
    return [_expression("socket", big(1, 0), big(2, _REGISTER)), _equal(b"\x00")]


def _verdict(code: int) -> bytes:
    return _expression("immediate", big(1, 0), nested(2, nested(2, big(1, code))))


def _redirect(version: int) -> list[bytes]:
    address = ipaddress.ip_address("127.0.0.1" if version == 4 else "::1").packed
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return [
        _expression("immediate", big(1, _REGISTER), nested(2, attribute(1, address))),
        _expression("immediate", big(1, _SECOND), nested(2, attribute(1, struct.pack("!H", DOOR)))),
        _expression("tproxy", big(1, family), big(2, _REGISTER), big(3, _SECOND)),
    ]


def _reject(kind: int, code: int) -> bytes:
    return _expression("reject", big(1, kind), attribute(2, bytes([code])))


def _queue() -> bytes:
    return _expression(
        "queue", *(attribute(kind, struct.pack("!H", value)) for kind, value in ((1, QUEUE), (2, 1), (3, 0)))
    )


def _queue_target() -> bytes:
    return _expression("target", text(1, "NFQUEUE"), big(2, 1), attribute(3, struct.pack("=HH", QUEUE, 1)))
