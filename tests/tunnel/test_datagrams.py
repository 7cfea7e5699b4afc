"""Datagrams over a stream: whole, in order, and lost rather than held without bound."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from interceptor.tunnel.datagrams import MOST_WAITING, Datagrams
from interceptor.wire.limits import Limits
from interceptor.wire.reasons import Reason
from tests.tunnel.muxes import Bench


class Ends:
    """Both ends of one stream, and what each heard."""

    def __init__(self, bench: Bench, limits: Limits) -> None:
        self.bench = bench
        self.client, self.agent = bench.tunnel(limits=limits)
        relay = self.client.mux.open({"udp": True})
        bench.until(lambda: self.agent.opened)
        self.heard: list[bytes | None] = []
        self.ended: list[str] = []
        answering = self.agent.opened[0][0]
        self.agent.mux.accept_here(answering)
        self.two = Datagrams(answering, self.heard.append, lambda: self.ended.append("two"))
        bench.until(lambda: relay.accepted)
        self.one = Datagrams(relay, self.heard.append, lambda: self.ended.append("one"))

    def hear(self, count: int) -> list[bytes | None]:
        self.bench.until(lambda: len(self.heard) >= count)
        return self.heard


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture(params=[Limits(), Limits(window=20_000, largest_window=20_000)], ids=["wide", "narrow"])
def ends(bench: Bench, request: pytest.FixtureRequest) -> Ends:
    return Ends(bench, request.param)


def test_each_is_whole(ends: Ends) -> None:
    sent = [b"", b"a", b"b" * 65507, b"c"]
    for datagram in sent:
        ends.one.send(datagram)
    assert ends.hear(len(sent)) == sent


def test_both_ways_at_once(ends: Ends) -> None:
    for number in range(100):
        ends.one.send(b"%d" % number * 100)
        ends.two.send(b"%d" % number * 100)
    heard = ends.hear(200)
    assert sorted(heard, key=str) == sorted([b"%d" % number * 100 for number in range(100)] * 2, key=str)


def test_refusal_is_between_them(ends: Ends) -> None:
    ends.one.send(b"before")
    ends.one.refuse()
    ends.one.send(b"after")
    assert ends.hear(3) == [b"before", None, b"after"]


def test_too_many_are_lost(ends: Ends) -> None:
    count = 10 * MOST_WAITING // 60000
    for number in range(count):
        ends.one.send(bytes([number]) * 60000)
    ends.one.refuse()
    ends.bench.until(lambda: None in ends.heard)
    arrived = [datagram for datagram in ends.heard if datagram is not None]
    assert 0 < len(arrived) < count
    assert all(datagram == datagram[:1] * 60000 for datagram in arrived)


def test_bulk_leaves_room(ends: Ends) -> None:
    """A flow that has sent more than a bulk waits for others that ask little, and goes on."""
    ends.client.mux.courtesy.others_at = ends.bench.poller.now() + 0.2
    for number in range(30):
        ends.one.send(bytes([number]) * 60000)
        ends.hear(number + 1)
    assert [datagram[:1] for datagram in ends.heard if datagram] == [bytes([number]) for number in range(30)]


def test_early_ones_are_heard(bench: Bench) -> None:
    """The agent's may come before the client has somebody to hear them."""
    client, agent = bench.tunnel()
    relay = client.mux.open({"udp": True})
    bench.until(lambda: agent.opened)
    agent.mux.accept_here(agent.opened[0][0])
    answering = Datagrams(agent.opened[0][0], lambda _: None, lambda: None)
    answering.send(b"early")
    answering.refuse()
    bench.idle()
    heard: list[bytes | None] = []
    Datagrams(relay, heard.append, lambda: None)
    assert heard == [b"early", None]


def test_end_is_told_once(ends: Ends) -> None:
    ends.one.close()
    ends.bench.until(lambda: ends.ended)
    ends.two.send(b"to nobody")
    ends.one.send(b"by nobody")
    ends.bench.idle()
    assert ends.ended == ["two"]
    assert not ends.client.mux.relays
    assert not ends.agent.mux.relays


def test_lost_tunnel_ends_it(ends: Ends) -> None:
    ends.client.mux.close(Reason.BROKEN)
    ends.bench.until(lambda: len(ends.ended) == 2)
    assert sorted(ends.ended) == ["one", "two"]


def test_half_close_ends_it(bench: Bench) -> None:
    """An older client ends its half as a socket does."""
    client, agent = bench.tunnel()
    relay = client.mux.open({"udp": True})
    bench.until(lambda: agent.opened)
    agent.mux.accept_here(agent.opened[0][0])
    ended: list[str] = []
    Datagrams(agent.opened[0][0], lambda _: None, lambda: ended.append("agent"))
    near, inner = bench.sockets()
    relay.attach(inner)
    near.shutdown(socket.SHUT_WR)
    bench.until(lambda: ended and relay.finished)
