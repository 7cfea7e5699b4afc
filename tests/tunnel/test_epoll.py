"""The pod's loop: readiness, times, and numbers of descriptors that come back."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from interceptor.tunnel.epoll import MOST_CANCELLED, EpollPoller


@pytest.fixture
def poller() -> Iterator[EpollPoller]:
    poller = EpollPoller()
    yield poller
    poller.close()


def test_readable_is_told(poller: EpollPoller, pair: tuple[socket.socket, socket.socket]) -> None:
    heard: list[bytes] = []
    poller.readable(pair[0].fileno(), lambda: heard.append(pair[0].recv(10)))
    pair[1].send(b"hello")
    poller.turn()
    assert heard == [b"hello"]


def test_both_directions_are_told(poller: EpollPoller, pair: tuple[socket.socket, socket.socket]) -> None:
    told: list[str] = []
    poller.readable(pair[0].fileno(), lambda: told.append("read"))
    poller.writable(pair[0].fileno(), lambda: told.append("write"))
    pair[1].send(b"x")
    poller.turn()
    assert told == ["read", "write"]


def test_unwatched_is_silent(poller: EpollPoller, pair: tuple[socket.socket, socket.socket]) -> None:
    """Also at its end: EPOLLHUP is reported whatever one waits for, and would make the loop spin."""
    poller.readable(pair[0].fileno(), lambda: None)
    poller.readable(pair[0].fileno(), None)
    poller.writable(pair[0].fileno(), None)
    pair[1].close()
    late = []
    poller.call_later(0.02, lambda: late.append(True))
    poller.turn()
    assert late == [True]


def test_hangup_is_readable(poller: EpollPoller, pair: tuple[socket.socket, socket.socket]) -> None:
    heard: list[bytes] = []
    poller.readable(pair[0].fileno(), lambda: heard.append(pair[0].recv(10)))
    pair[1].close()
    poller.turn()
    assert heard == [b""]


def test_reused_number_is_another(poller: EpollPoller) -> None:
    """Two descriptors are ready in one pass; serving the first closes the second and opens one with its number."""
    first, second = socket.socketpair(), socket.socketpair()
    number = second[0].fileno()
    told: list[str] = []
    opened: list[socket.socket] = []

    def exchange() -> None:
        told.append("first")
        poller.readable(first[0].fileno(), None)
        poller.readable(number, None)
        poller.writable(number, None)
        second[0].close()
        fresh = socket.socket()
        if fresh.fileno() != number:
            os.dup2(fresh.fileno(), number)
            fresh.close()
            fresh = socket.socket(fileno=number)
        opened.append(fresh)
        poller.writable(number, lambda: told.append("someone else's readiness"))

    poller.readable(first[0].fileno(), exchange)
    poller.readable(number, lambda: told.append("second"))
    first[1].send(b"x")
    second[1].close()  # a hangup: told to whoever reads and whoever writes
    poller.turn()
    for sock in (*first, *opened):
        sock.close()
    assert told == ["first"]


def test_callbacks_keep_order(poller: EpollPoller) -> None:
    told: list[int] = []
    for delay in (3, 1, 2):
        poller.call_later(delay / 100, lambda delay=delay: told.append(delay))  # type: ignore[misc]
    while len(told) < 3:
        poller.turn()
    assert told == [1, 2, 3]


def test_soon_means_next_pass(poller: EpollPoller) -> None:
    told: list[str] = []

    def again() -> None:
        told.append("first")
        poller.call_soon(lambda: told.append("second"))

    poller.call_soon(again)
    poller.turn()
    assert told == ["first"]
    poller.turn()
    assert told == ["first", "second"]


def test_cancelled_timer_is_silent(poller: EpollPoller) -> None:
    told: list[str] = []
    cancelled = poller.call_later(0.0, lambda: told.append("cancelled"))
    poller.call_later(0.0, lambda: told.append("kept"))
    cancelled.cancel()
    cancelled.cancel()
    poller.turn()
    assert told == ["kept"]


def test_cancelled_timers_are_forgotten(poller: EpollPoller) -> None:
    for _ in range(10_000):
        poller.call_later(60, lambda: None).cancel()
    assert len(poller._timers) <= 2 * MOST_CANCELLED + 2
    told: list[bool] = []
    poller.call_later(0.0, lambda: told.append(True))
    poller.turn()
    assert told == [True]


def fail() -> None:
    raise ZeroDivisionError


def test_exception_ends_loop(poller: EpollPoller) -> None:
    poller.call_soon(fail)
    with pytest.raises(ZeroDivisionError):
        poller.run()


def test_stop_ends_loop(poller: EpollPoller) -> None:
    poller.call_soon(poller.stop)
    poller.run()
