"""Many streams over one link, from the greeting to the end."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from interceptor.tunnel import mux as mux_module
from interceptor.tunnel.relay import Relay
from interceptor.wire.connection import Connection, Role
from interceptor.wire.frames import HEADER_SIZE, Kind, frame
from interceptor.wire.limits import Limits
from interceptor.wire.reasons import Reason
from tests.tunnel.muxes import SESSION, Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_goodbye_is_told(bench: Bench) -> None:
    client, agent = bench.tunnel()
    client.mux.close(Reason.GOODBYE, "the session ended")
    bench.until(lambda: agent.shut and client.shut)
    assert client.ended == agent.ended == [(Reason.GOODBYE, "the session ended")]


def test_messages_pass(bench: Bench) -> None:
    client, agent = bench.tunnel()
    client.mux.control({"do": "arm", "id": 1})
    agent.mux.control({"reply": 1})
    bench.until(lambda: client.messages and agent.messages)
    assert (agent.messages, client.messages) == ([{"do": "arm", "id": 1}], [{"reply": 1}])


def test_cut_link_ends_streams(bench: Bench) -> None:
    client, agent = bench.tunnel()
    near, far, _, _ = bench.stream(client, agent)
    assert client.mux._link is not None
    client.mux._link._sock.shutdown(socket.SHUT_RDWR)
    bench.until(lambda: client.ended and agent.ended)
    assert agent.ended[0][0] is Reason.GONE
    for sock in (near, far):
        with pytest.raises(ConnectionResetError):
            bench.read(sock, 1)
    client.mux.control({"nobody": "hears"})
    client.mux.close(Reason.GOODBYE)
    assert len(client.ended) == 1


def test_hello_and_close_in_one_read(bench: Bench) -> None:
    """The user opens a stream at the greeting; the close behind it is not yet known then."""
    one, two = bench.sockets()
    stranger = Connection(Role.CLIENT, SESSION)
    stranger.close(Reason.CANCELLED, "changed my mind")
    one.sendall(stranger.take())
    agent = bench.end(Role.AGENT, two)
    opened: list[Relay] = []
    agent.on_greeted = lambda: opened.append(agent.mux.open({"port": 8080}))
    bench.until(lambda: agent.ended)
    assert opened[0].finished
    assert agent.ended == [(Reason.CANCELLED, "changed my mind")]
    assert not agent.mux.relays


def test_violation_is_told(bench: Bench) -> None:
    one, two = bench.sockets()
    agent = bench.end(Role.AGENT, two)
    one.sendall(frame(77))
    bench.until(lambda: agent.ended)
    assert agent.ended == [(Reason.PROTOCOL, "frame kind 77 before HELLO")]
    said = bench.read(one, 10_000)
    assert b"frame kind 77 before HELLO" in said


def test_other_session_is_refused(bench: Bench) -> None:
    one, two = bench.sockets()
    agent = bench.end(Role.AGENT, two)
    one.sendall(Connection(Role.CLIENT, "payments-a1b2c").take())
    bench.until(lambda: agent.ended)
    assert agent.ended[0][0] is Reason.PROTOCOL


def test_silent_stranger_is_dropped(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mux_module, "GREETING_TIME", 0.05)
    _, two = bench.sockets()
    agent = bench.end(Role.AGENT, two)
    bench.until(lambda: agent.shut)
    assert agent.ended[0][0] is Reason.GONE


def test_silence_ends_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mux_module, "PING_EVERY", 0.02)
    one, two = bench.sockets()
    agent = bench.end(Role.AGENT, two, silence=0.1)
    one.sendall(Connection(Role.CLIENT, SESSION).take())
    bench.until(lambda: agent.ended)
    assert agent.greeted
    assert agent.ended[0][0] is Reason.SILENCE


def test_pings_keep_it_alive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on from pass to pass: a machine that stands still for a moment is not silent."""
    clock = [100.0]
    monkeypatch.setattr(bench.poller, "now", lambda: clock[0])
    monkeypatch.setattr(mux_module, "PING_EVERY", 0.02)
    one, two = bench.sockets()
    client, agent = bench.end(Role.CLIENT, one, silence=0.2), bench.end(Role.AGENT, two, silence=0.2)
    while clock[0] < 100.6:
        bench.poller.turn()
        clock[0] += 0.01
    assert not client.ended
    assert not agent.ended
    assert 0 < client.mux.round_trip < 0.2


def test_unread_pongs_are_bounded(bench: Bench) -> None:
    """A peer that asks and never reads: neither the protocol's queue nor the link's may grow."""
    one, two = bench.sockets()
    limits = Limits(answers=100_000)
    agent = bench.end(Role.AGENT, two, limits=limits)
    one.sendall(Connection(Role.CLIENT, SESSION).take())
    bench.until(lambda: agent.greeted)
    flood = frame(Kind.PING, 0, bytes(8)) * 4000
    most = 0
    pending = memoryview(b"")
    while not agent.ended:
        pending = pending or memoryview(flood)
        try:
            pending = pending[one.send(pending) :]
        except BlockingIOError:
            pass
        except OSError:
            break
        bench.poller.turn()
        assert agent.mux._link is not None
        most = max(most, agent.mux.connection.waiting + agent.mux._link.backlog)
    bench.until(lambda: agent.ended)
    assert agent.ended[0] == (Reason.PROTOCOL, "asks faster than it reads the answers")
    assert most < 3 * limits.answers + 600_000


def test_small_frames_share_a_send(bench: Bench) -> None:
    """What is said in one pass of the loop leaves as one."""
    one, two = bench.sockets()
    agent = bench.end(Role.AGENT, two)
    one.sendall(Connection(Role.CLIENT, SESSION).take())
    bench.until(lambda: agent.greeted)
    bench.idle()
    one.recv(65_536)
    for _ in range(10):
        agent.mux.open({"port": 8080})
    bench.idle()
    assert len(one.recv(65_536)) == 10 * (HEADER_SIZE + len(b'{"port":8080}'))
