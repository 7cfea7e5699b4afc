"""An observer sees every byte that is relayed, in order, and changes none."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from interceptor.tunnel.observer import Observer
from interceptor.tunnel.relay import Relay
from interceptor.wire.limits import Limits
from tests.tunnel.muxes import Bench
from tests.tunnel.test_relay import reset

SMALL = Limits(window=20_000, largest_window=20_000)


class Notes:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.sent = b""
        self.received = b""
        self.ends: list[str] = []

    def from_socket(self, data: memoryview) -> None:
        assert len(data)
        self.sent += data

    def to_socket(self, data: memoryview) -> None:
        assert len(data)
        self.received += data

    def socket_ended(self) -> None:
        self.ends.append("socket")

    def peer_ended(self) -> None:
        self.ends.append("peer")

    def finished(self) -> None:
        self.ends.append("finished")


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def observed(relay: Relay) -> Notes:
    notes = Notes()
    observer: Observer = notes
    relay.observer = observer
    return notes


@pytest.mark.parametrize("size", [1, 1000, 40_000, 700_000])
def test_both_directions(bench: Bench, size: int) -> None:
    client, agent = bench.tunnel()
    near, far, _, answering = bench.stream(client, agent)
    notes = observed(answering)
    asked, answered = bytes(range(251)) * (size // 251 + 1), bytes(range(241)) * (size // 241 + 1)
    for sock, other, data in ((near, far, asked), (far, near, answered)):
        left = memoryview(data)
        got = b""
        while len(got) < len(data):
            left = left[sock.send(left[:50_000]) :] if left else left
            got += bench.read(other, min(20_000, len(data) - len(left) - len(got)))
        assert got == data
    assert notes.received == asked
    assert notes.sent == answered


def test_ends(bench: Bench) -> None:
    client, agent = bench.tunnel()
    near, far, _, answering = bench.stream(client, agent)
    notes = observed(answering)
    near.sendall(b"ask")
    near.shutdown(socket.SHUT_WR)
    assert bench.read(far, 4) == b"ask"
    assert notes.ends == ["peer"]
    far.sendall(b"answer")
    far.close()
    assert bench.read(near, 7) == b"answer"
    bench.until(lambda: answering.finished)
    assert notes.ends == ["peer", "socket", "finished"]
    assert (notes.received, notes.sent) == (b"ask", b"answer")


def test_reset(bench: Bench) -> None:
    client, agent = bench.tunnel()
    near, _, _, answering = bench.stream(client, agent)
    notes = observed(answering)
    reset(near)
    bench.until(lambda: answering.finished)
    assert notes.ends == ["finished"]


def test_what_came_before_the_socket(bench: Bench) -> None:
    client, agent = bench.tunnel(limits=SMALL)
    relay = client.mux.open({"host": "db"})
    notes = observed(relay)
    bench.until(lambda: agent.opened)
    near, inner = bench.sockets()
    far, far_inner = bench.sockets()
    agent.mux.accept(agent.opened[0][0], far_inner)
    far.sendall(b"banner")
    bench.idle()
    early = bytes(range(256)) * 200  # more than a window
    relay.attach(inner, early)
    assert bench.read(far, len(early)) == early
    assert bench.read(near, 6) == b"banner"
    assert (notes.sent, notes.received) == (early, b"banner")
