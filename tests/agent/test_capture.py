"""The program that reads along, on this machine's own loopback: every byte, in its time, while somebody listens."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent import capture
from interceptor.mesh.traffic.packets import Packets
from interceptor.session.reading import capture_command
from tests.mesh.traffic.test_packets import Heard


@contextmanager
def reading(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """It runs, as the client starts it."""
    command = [*capture_command(sys.executable), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        if "not permitted" in said:
            pytest.skip("it needs the right to read packets")
        assert said == f"{capture.READY}\n"
        yield process


def frames(output: bytes) -> list[tuple[float, int, bytes]]:
    found, at = [], 0
    while at < len(output):
        when, kind, size = capture.HEADER.unpack_from(output, at)
        at += capture.HEADER.size + size
        found.append((when, kind, output[at - size : at]))
    return found


def converse(listener: socket.socket, size: int) -> None:
    with socket.create_connection(listener.getsockname()[:2]) as caller, listener.accept()[0] as app:
        caller.sendall(b"ask")
        assert app.recv(10) == b"ask"
        app.sendall(bytes(size))
        left = size
        while left:
            left -= len(caller.recv(65536))


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_connection_is_copied_whole(family: socket.AddressFamily, host: str) -> None:
    size = 2_000_000
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_server((host, 0), family=family) as other,
    ):
        port = listener.getsockname()[1]
        with reading(str(port), "lo") as process:
            converse(other, 1000)
            converse(listener, size)
            output, _ = process.communicate(b"\n", timeout=60)
    assert process.returncode == 0
    heard: list[Heard] = []

    def begin(peer: str, at: int) -> Heard:
        assert at == port
        heard.append(Heard(peer))
        return heard[-1]

    packets, last = Packets([], [port], begin), 0.0
    for when, kind, data in frames(output):
        if kind == capture.PACKET:
            assert when >= last
            last = when
            packets.packet(memoryview(data))
        else:
            assert struct.unpack("!Q", data) == (0,)
    (one,) = heard
    assert (one.asked, len(one.answered), one.told[-1]) == (b"ask", size, "finished")


def test_missing_right_is_told() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give the right away")
    command = capture_command(sys.executable)
    imported = "import __future__, contextlib, ctypes, os, select, socket, struct, sys, time, zlib, base64"
    command[-1] = f"{imported}; os.setgroups([]); os.setgid(65534); os.setuid(65534); {command[-1]}"
    done = subprocess.run([*command, "8080"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, b"can't read along: Operation not permitted\n")
