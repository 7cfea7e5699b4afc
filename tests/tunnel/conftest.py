"""What several tests of the pod's loop begin with."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets; the first does not block."""
    one, two = socket.socketpair()
    one.setblocking(False)
    yield one, two
    one.close()
    two.close()
