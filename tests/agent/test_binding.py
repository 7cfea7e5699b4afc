"""Sockets at the pod's ports, with IPv6, and where a kernel has none."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest

from agent.binding import bind
from tests.agent.running import REPOSITORY

KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)

# Numbers of the system calls socket and bind; the second is refused an address of IPv6, which is 28 bytes long.
WITHOUT = """
import errno, os, socket, sys, warnings
from agent.binding import bind
from tests.sandbox.restricted import answer
warnings.simplefilter("error")
machine = os.uname().machine
if sys.argv[1] == "socket":
    answer(errno.EAFNOSUPPORT, {"x86_64": 41}.get(machine, 198), (0, socket.AF_INET6))
else:
    answer(errno.EADDRNOTAVAIL, {"x86_64": 49}.get(machine, 200), (2, 28))
held = len(os.listdir("/proc/self/fd"))
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    with bind("", 0, kind) as sock:
        assert sock.family == socket.AF_INET and sock.getsockname()[0] == "0.0.0.0", sock
        assert len(os.listdir("/proc/self/fd")) == held + 1
"""


@pytest.mark.parametrize("kind", KINDS)
def test_both_families_are_served(kind: socket.SocketKind) -> None:
    with bind("", 0, kind) as sock:
        assert not sock.getblocking()
        if sock.family == socket.AF_INET6:
            assert not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        with socket.socket(socket.AF_INET, kind) as caller:
            caller.connect(("127.0.0.1", sock.getsockname()[1]))


@pytest.mark.parametrize("kind", KINDS)
def test_taken_port_holds_nothing(kind: socket.SocketKind) -> None:
    with bind("127.0.0.1", 0, kind) as sock:
        before = os.listdir("/proc/self/fd")
        for host in ("127.0.0.1", ""):
            with pytest.raises(OSError) as caught:  # noqa: PT011  the number is held below
                bind(host, sock.getsockname()[1], kind)
            assert caught.value.errno == errno.EADDRINUSE
        assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="other numbers of the system calls")
@pytest.mark.parametrize("lacking", ["socket", "bind"])
def test_machine_without_ipv6(lacking: str) -> None:
    command = [sys.executable, "-c", WITHOUT, lacking]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
