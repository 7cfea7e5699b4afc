"""Connecting without blocking: address after address, and the wire's word for each failure."""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
from collections.abc import Iterator, Sequence

import pytest

from interceptor.tunnel.dial import Address, Dial, reason_of
from interceptor.tunnel.epoll import EpollPoller
from interceptor.wire.reasons import Reason

SILENT: Address = (socket.AF_INET, ("192.0.2.1", 9))  # TEST-NET-1


@pytest.fixture
def poller() -> Iterator[EpollPoller]:
    poller = EpollPoller()
    yield poller
    poller.close()


def listening() -> tuple[socket.socket, Address]:
    server = socket.create_server(("127.0.0.1", 0))
    return server, (socket.AF_INET, ("127.0.0.1", server.getsockname()[1]))


def closed() -> Address:
    server, address = listening()
    server.close()
    return address


Result = tuple[socket.socket | None, OSError | None]


def dial(poller: EpollPoller, addresses: Sequence[Address], seconds: float = 5.0) -> Result:
    found: list[Result] = []
    Dial(poller, addresses, seconds, lambda sock, error: found.append((sock, error))).start()
    while not found:
        poller.turn()
    assert len(found) == 1
    return found[0]


def test_listener_is_reached(poller: EpollPoller) -> None:
    server, address = listening()
    sock, error = dial(poller, [address])
    assert sock is not None
    assert error is None
    assert sock.getpeername() == address[1]
    assert sock.getblocking() is False
    sock.close()
    server.close()


def test_next_address_is_tried(poller: EpollPoller) -> None:
    server, address = listening()
    sock, _ = dial(poller, [closed(), (socket.AF_INET6, ("::1", 1)), (socket.AF_INET, ("not a number", 1)), address])
    assert sock is not None
    sock.close()
    server.close()


def test_refusal_is_told(poller: EpollPoller) -> None:
    _, error = dial(poller, [closed(), closed()])
    assert error is not None
    assert reason_of(error) is Reason.REFUSED


def test_no_address_is_told(poller: EpollPoller) -> None:
    _, error = dial(poller, [])
    assert error is not None
    assert reason_of(error) is Reason.UNREACHABLE


@pytest.fixture
def deaf() -> Iterator[Address]:
    """A listener whose queue is full answers nothing, like a firewall that drops."""
    with contextlib.ExitStack() as kept:
        server = kept.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            sock = kept.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
        yield socket.AF_INET, server.getsockname()


def test_full_backlog_times_out(poller: EpollPoller, deaf: Address) -> None:
    _, error = dial(poller, [deaf], 0.05)
    assert error is not None
    assert error.errno == errno.ETIMEDOUT
    assert reason_of(error) is Reason.TIMEOUT


def test_cancelled_dial_is_silent(poller: EpollPoller, deaf: Address) -> None:
    found: list[object] = []
    attempt = Dial(poller, [deaf, deaf], 5.0, lambda *result: found.append(result))
    attempt.start()
    attempt.cancel()
    attempt.cancel()
    poller.call_later(0.02, lambda: found.append("time"))
    while not found:
        poller.turn()
    assert found == ["time"]


def test_no_descriptor_is_an_error(poller: EpollPoller) -> None:
    """Not an exception that ends whoever dials."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    address = closed()
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        _, error = dial(poller, [address])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert error is not None
    assert error.errno == errno.EMFILE
