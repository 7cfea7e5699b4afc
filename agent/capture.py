"""Copies the packets of some TCP ports of this pod to standard output, until standard input ends.

No part of the agent: `interceptor tap --attach` starts this file's text by itself (`python3 -c`) in a container beside the
app, where it changes nothing and nobody notices. Arguments: the ports, and "lo" where a mesh's proxy passes everything on
over the loopback. Output: a header (time of day, kind, length), then the IP packet (PACKET) or how many the kernel had no
room for so far (DROPPED, eight bytes), at least once a second. What the machine can't carry is dropped by the kernel and
counted: the app never waits for us.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import sys
import time

HEADER = struct.Struct("!dBI")
PACKET, DROPPED = 0, 1
READY = "reading along"

_ALL = 3  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING
_PACKET_LEVEL, _STATISTICS = 263, 6  # SOL_PACKET, PACKET_STATISTICS
_ATTACH_FILTER, _RECEIVE_BUFFER_FORCE, _TIMESTAMPS = 26, 33, 35  # SO_TIMESTAMPNS
_BUFFER = 8 * 1024 * 1024
_LARGEST = 256 * 1024  # a packet as the kernel hands it over, many segments put together
_MOST_AT_ONCE = 64

_BYTE, _HALF, _HALF_AT_X, _HEADER_LENGTH = 0x30, 0x28, 0x48, 0xB1  # what a filter loads
_SHIFT, _EQUAL, _ANY_BIT, _RETURN = 0x74, 0x15, 0x45, 0x06


def packet_filter(ports: list[int]) -> bytes:
    """The kernel's own program: TCP from or to these ports, by IPv4 or IPv6, beginning with the IP header."""
    lines: list[tuple[int, int, str, str]] = []  # code, operand, label if true, label if not; "" is the next line
    labels: dict[str, int] = {}

    def add(code: int, operand: int, true: str = "", false: str = "") -> None:
        lines.append((code, operand, true, false))

    def one_of(load: int, first: int, second: int) -> None:
        for offset in (first, second):
            add(load, offset)
            for port in ports:
                add(_EQUAL, port, "take", "")
        add(_EQUAL, 0x10000, "", "leave")  # no half word is that

    add(_BYTE, 0)
    add(_SHIFT, 4)
    add(_EQUAL, 6, "six", "")
    add(_EQUAL, 4, "", "leave")
    add(_BYTE, 9)
    add(_EQUAL, 6, "", "leave")
    add(_HALF, 6)
    add(_ANY_BIT, 0x1FFF, "leave", "")  # a later fragment has no ports
    add(_HEADER_LENGTH, 0)
    one_of(_HALF_AT_X, 0, 2)
    labels["six"] = len(lines)
    add(_BYTE, 6)
    add(_EQUAL, 6, "", "leave")
    one_of(_HALF, 40, 42)
    labels["leave"] = len(lines)
    add(_RETURN, 0)
    labels["take"] = len(lines)
    add(_RETURN, _LARGEST)

    def far(at: int, label: str) -> int:
        return labels[label] - at - 1 if label else 0

    return b"".join(
        struct.pack("HBBI", code, far(at, true), far(at, false), operand)
        for at, (code, operand, true, false) in enumerate(lines)
    )


def open_socket(ports: list[int], interface: str) -> socket.socket:
    """A socket that hears the packets of all programs in this network namespace. Raises PermissionError."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
    program = packet_filter(ports)
    held = ctypes.create_string_buffer(program)
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", len(program) // 8, ctypes.addressof(held)))
    sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
    if interface:
        sock.bind((interface, _ALL))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    sock.setblocking(False)
    return sock


def write(data: bytes) -> None:
    """All of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def copy(sock: socket.socket) -> None:
    """Until standard input ends and all that was there before is copied, or nobody reads our output."""
    dropped, told, over = 0, 0.0, False
    while True:
        readable, _, _ = select.select([sock.fileno()] if over else [sock.fileno(), 0], [], [], 0 if over else 1.0)
        over = over or (0 in readable and not os.read(0, 4096))
        out = _read(sock) if sock.fileno() in readable else []
        if over and not out:
            return
        if time.time() - told >= 1.0:
            told = time.time()
            dropped += struct.unpack("II", sock.getsockopt(_PACKET_LEVEL, _STATISTICS, 8))[1]
            out.append(HEADER.pack(told, DROPPED, 8) + struct.pack("!Q", dropped))
        if out:
            write(b"".join(out))


def _read(sock: socket.socket) -> list[bytes]:
    out: list[bytes] = []
    for _ in range(_MOST_AT_ONCE):
        try:
            data, extra, _, (interface, _, kind, *_) = sock.recvmsg(_LARGEST, 64)
        except BlockingIOError:
            break
        seconds, fraction = struct.unpack("ll", extra[0][2])  # when it passed, not when we came to read it
        # The loopback shows each packet twice; the second time it has come.
        passed = kind != _OUTGOING or interface != "lo"
        out.append(HEADER.pack(seconds + fraction / 1e9, PACKET, len(data)) + data if passed else b"")
    return out


def main(arguments: list[str]) -> int:
    """Run to the end."""
    ports = [int(word) for word in arguments if word.isdigit()]
    try:
        sock = open_socket(ports, "lo" if "lo" in arguments else "")
    except OSError as error:
        sys.stderr.write(f"can't read along: {error.strerror}\n")
        return 1
    sys.stderr.write(f"{READY}\n")
    with sock, contextlib.suppress(BrokenPipeError):  # who read has left
        copy(sock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
