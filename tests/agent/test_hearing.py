"""Nothing yet, something, the end: three different answers of one read."""

from __future__ import annotations

import socket
import struct

import pytest

from agent.hearing import hear


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    listener.close()
    near.setblocking(False)
    return near, far


def test_silence_is_no_end(ends: tuple[socket.socket, socket.socket]) -> None:
    with ends[0] as near, ends[1] as far:
        silent = hear(near, 10)
        far.close()
        near.setblocking(True)
        assert (silent, hear(near, 10)) == (None, b"")


def test_most_is_a_bound(ends: tuple[socket.socket, socket.socket]) -> None:
    with ends[0] as near, ends[1] as far:
        far.sendall(b"GET / HTTP/1.1")
        near.setblocking(True)
        assert (hear(near, 3), hear(near, 100)) == (b"GET", b" / HTTP/1.1")


def test_reset_is_an_end(ends: tuple[socket.socket, socket.socket]) -> None:
    with ends[0] as near, ends[1] as far:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        near.setblocking(True)
        assert hear(near, 10) == b""
