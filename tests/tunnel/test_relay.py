"""One stream and one socket: what comes too early, too late, or breaks in the middle."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from interceptor.tunnel import mux as mux_module
from interceptor.wire.limits import Limits
from interceptor.wire.reasons import Reason
from tests.tunnel.muxes import Bench

SMALL = Limits(window=20_000, largest_window=20_000)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_early_bytes_come_first(bench: Bench) -> None:
    client, agent = bench.tunnel(limits=SMALL)
    relay = client.mux.open({"host": "db"})
    bench.until(lambda: agent.opened)
    near, inner = bench.sockets()
    far, far_inner = bench.sockets()
    agent.mux.accept(agent.opened[0][0], far_inner)
    near.sendall(b"late")
    early = bytes(range(256)) * 200  # more than a window
    relay.attach(inner, early)
    assert bench.read(far, len(early) + 4) == early + b"late"


def test_answer_waits_for_socket(bench: Bench) -> None:
    """The far end may speak and end before the near socket is there."""
    client, agent = bench.tunnel()
    relay = client.mux.open({"host": "db"})
    bench.until(lambda: agent.opened)
    far, far_inner = bench.sockets()
    agent.mux.accept(agent.opened[0][0], far_inner)
    far.sendall(b"banner")
    far.shutdown(socket.SHUT_WR)
    bench.idle()
    near, inner = bench.sockets()
    relay.attach(inner)
    assert bench.read(near, 100) == b"banner"
    near.sendall(b"reply")
    near.close()
    assert bench.read(far, 100) == b"reply"
    bench.until(lambda: not client.mux.relays and not agent.mux.relays)


def test_waiting_answer_survives_tunnel(bench: Bench) -> None:
    """It was said to its end: that the tunnel breaks later takes nothing of it."""
    client, agent = bench.tunnel()
    relay = client.mux.open({"host": "db"})
    bench.until(lambda: agent.opened)
    far, far_inner = bench.sockets()
    agent.mux.accept(agent.opened[0][0], far_inner)
    far.sendall(b"whole answer")
    far.shutdown(socket.SHUT_WR)
    bench.idle()
    agent.mux.close(Reason.BROKEN)
    bench.until(lambda: client.ended)
    near, inner = bench.sockets()
    relay.attach(inner)
    assert bench.read(near, 100) == b"whole answer"
    assert relay.finished


def test_finished_relay_resets_socket(bench: Bench) -> None:
    client, agent = bench.tunnel()
    relay = client.mux.open({"host": "db"})
    bench.until(lambda: agent.opened)
    agent.mux.refuse(agent.opened[0][0], Reason.BROKEN, "no more")
    bench.until(lambda: relay.finished)
    near, inner = bench.sockets()
    relay.attach(inner)
    with pytest.raises(ConnectionResetError):
        bench.read(near, 1)


def test_given_up_stream_is_not_accepted(bench: Bench) -> None:
    """The opener resets while the far end still connects, in the same read as its opening."""
    client, agent = bench.tunnel()
    relay = client.mux.open({"host": "db"})
    relay.reset(Reason.CANCELLED)
    bench.until(lambda: agent.opened)
    bench.until(lambda: agent.opened[0][0].finished)
    near, inner = bench.sockets()
    agent.mux.accept(agent.opened[0][0], inner)
    with pytest.raises(ConnectionResetError):
        bench.read(near, 1)
    assert not agent.ended


def test_accept_at_once(bench: Bench) -> None:
    """As a dial that succeeds within its start would, with a reset already behind the opening."""
    client, agent = bench.tunnel()
    _, inner = bench.sockets()
    agent.on_opened = lambda relay: agent.mux.accept(relay, inner)
    client.mux.open({"host": "db"}).reset(Reason.CANCELLED)
    bench.until(lambda: agent.opened)
    bench.idle()
    assert not agent.ended
    assert not agent.mux.relays


def test_unattached_stream_holds_a_window(bench: Bench) -> None:
    client, agent = bench.tunnel(limits=SMALL)
    client.mux.open({"host": "db"})
    bench.until(lambda: agent.opened)
    far, far_inner = bench.sockets()
    agent.mux.accept(agent.opened[0][0], far_inner)
    far.send(bytes(200_000))
    bench.idle()
    assert client.mux.held == SMALL.window


def test_slow_reader_holds_a_window(bench: Bench) -> None:
    client, agent = bench.tunnel(limits=SMALL)
    near, far, _, answering = bench.stream(client, agent)
    other_near, other_far, _, _ = bench.stream(client, agent)
    sent = 0
    for _ in range(400):
        try:
            sent += near.send(bytes(100_000))
        except BlockingIOError:
            before = answering.queued
            bench.idle()
            if before and answering.queued == before:
                break
    assert SMALL.window // 2 <= answering.queued <= SMALL.window  # less than half a window waits to be given back
    other_near.sendall(b"others go on")
    assert bench.read(other_far, 12) == b"others go on"
    assert len(bench.read(far, sent)) == sent
    assert client.mux.held == 0


def test_held_bytes_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mux_module, "MOST_HELD", 50_000)
    client, agent = bench.tunnel(limits=SMALL)
    refused: list[tuple[Reason, str]] = []
    for _ in range(4):
        relay = client.mux.open({"host": "db"})
        relay.on_refused = lambda _, reason, text: refused.append((reason, text))
        bench.idle()
        far, far_inner = bench.sockets()
        agent.mux.accept(agent.opened[-1][0], far_inner)
        far.send(bytes(20_000))
    bench.idle()
    assert client.mux.held <= 50_000
    assert len(client.mux.relays) < 4
    bench.until(lambda: len(agent.mux.relays) == len(client.mux.relays))


def test_answer_before_break_is_delivered(bench: Bench) -> None:
    """413: a server that answers and closes while the caller still uploads."""
    client, agent = bench.tunnel()
    near, far, _, _ = bench.stream(client, agent)
    near.sendall(b"POST /upload" + bytes(100_000))
    bench.idle()
    far.sendall(b"413 too large")
    far.close()  # with unread bytes: the kernel resets
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        for _ in range(100):
            near.sendall(bytes(1000))
            bench.idle()
    assert bench.read(near, 100) == b"413 too large"


def test_half_close_with_full_queue(bench: Bench) -> None:
    """END waits until what came before it is written."""
    client, agent = bench.tunnel()
    near, far, _, _ = bench.stream(client, agent)
    content = bytes(range(256)) * 4096
    sent = 0
    while sent < len(content):
        try:
            sent += near.send(content[sent:])
        except BlockingIOError:
            bench.poller.turn()
    near.shutdown(socket.SHUT_WR)
    bench.idle()
    assert bench.read(far, len(content) + 1) == content
    far.close()
    bench.until(lambda: not client.mux.relays and not agent.mux.relays)


def test_ends_and_resets_cross(bench: Bench) -> None:
    client, agent = bench.tunnel()
    for _ in range(20):
        near, far, _, _ = bench.stream(client, agent)
        near.sendall(b"x")
        far.sendall(b"y")
        near.shutdown(socket.SHUT_WR)
        reset(far)
    bench.until(lambda: not client.mux.relays and not agent.mux.relays)
    assert not client.ended
    assert not agent.ended


def test_reset_reaches_caller(bench: Bench) -> None:
    client, agent = bench.tunnel()
    near, far, _, _ = bench.stream(client, agent)
    reset(far)
    with pytest.raises(OSError) as raised:  # noqa: PT011  its number is what counts
        bench.read(near, 1)
    assert raised.value.errno == errno.ECONNRESET


def test_refused_is_told_before_answer(bench: Bench) -> None:
    client, agent = bench.tunnel()
    relay = agent.mux.open({"port": 8080})
    told: list[tuple[Reason, str]] = []
    relay.on_refused = lambda _, reason, text: told.append((reason, text))
    bench.until(lambda: client.opened)
    client.mux.refuse(client.opened[0][0], Reason.REFUSED, "nothing listens")
    bench.until(lambda: told)
    assert told == [(Reason.REFUSED, "nothing listens")]
    assert not agent.mux.relays
