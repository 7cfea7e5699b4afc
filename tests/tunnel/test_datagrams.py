"""Datagrams over a stream: whole, in order, and lost rather than held without bound."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from interceptor.tunnel.datagrams import MOST_WAITING, Datagrams
from interceptor.tunnel.epoll import EpollPoller


class Ends:
    """Both ends, and what each heard."""

    def __init__(self, poller: EpollPoller) -> None:
        self.poller = poller
        one, two = socket.socketpair()
        one.setblocking(False)
        two.setblocking(False)
        self.heard: list[bytes | None] = []
        self.ended: list[str] = []
        self.one = Datagrams(poller, one, self.heard.append, lambda: self.ended.append("one"))
        self.two = Datagrams(poller, two, self.heard.append, lambda: self.ended.append("two"))

    def hear(self, count: int) -> list[bytes | None]:
        while len(self.heard) < count:
            self.poller.turn()
        return self.heard


@pytest.fixture
def ends() -> Iterator[Ends]:
    poller = EpollPoller()
    made = Ends(poller)
    yield made
    made.one.close()
    made.two.close()
    poller.close()


def test_each_is_whole(ends: Ends) -> None:
    sent = [b"", b"a", b"b" * 65507, b"c"]
    for datagram in sent:
        ends.one.send(datagram)
    assert ends.hear(len(sent)) == sent


def test_refusal_is_between_them(ends: Ends) -> None:
    ends.one.send(b"before")
    ends.one.refuse()
    ends.one.send(b"after")
    assert ends.hear(3) == [b"before", None, b"after"]


def test_too_many_are_lost(ends: Ends) -> None:
    count = 5 * MOST_WAITING // 60000
    for number in range(count):
        ends.one.send(bytes([number]) * 60000)
    ends.one.refuse()
    while None not in ends.heard:
        ends.poller.turn()
    arrived = [datagram for datagram in ends.heard if datagram is not None]
    assert 0 < len(arrived) < count
    assert all(datagram == datagram[:1] * 60000 for datagram in arrived)


def test_end_is_told_once(ends: Ends) -> None:
    ends.one.close()
    while not ends.ended:
        ends.poller.turn()
    ends.two.send(b"to nobody")
    assert ends.ended == ["two"]
