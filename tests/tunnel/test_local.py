"""The developer's process comes and goes: callers wait before its door, and hear why when it stays shut."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from interceptor.tunnel.local import LocalSide
from interceptor.tunnel.relay import Relay
from interceptor.wire.reasons import Reason
from tests.tunnel.muxes import Bench, End


class Street:
    """A tunnel whose client's end leads to one local port, which the test opens and shuts."""

    def __init__(self, bench: Bench, hold: float) -> None:
        self.bench = bench
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.address = server.getsockname()
        self.changes: list[tuple[int, bool]] = []
        self.local = LocalSide(
            bench.poller,
            {("TCP", 8080): [(socket.AF_INET, self.address)]},
            hold,
            lambda port, is_open: self.changes.append((port, is_open)),
        )
        self.client, self.agent = bench.tunnel()
        self.client.on_opened = self._connect
        self.accepted: list[Relay] = []
        self.refused: list[tuple[Reason, str]] = []
        self._server: socket.socket | None = None

    def _connect(self, relay: Relay) -> None:
        self.local.connect(self.client.mux, relay, self.client.opened[-1][1])

    def open(self) -> socket.socket:
        self._server = socket.create_server(self.address)
        return self._server

    def call(self, **target: object) -> Relay:
        relay = self.agent.mux.open({"port": 8080, **target})
        relay.on_accepted = self.accepted.append
        relay.on_refused = lambda _, reason, text: self.refused.append((reason, text))
        return relay

    def close(self) -> None:
        self.local.close("the test is over")
        if self._server is not None:
            self._server.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def hold() -> float:
    return 5.0


@pytest.fixture
def street(bench: Bench, hold: float) -> Iterator[Street]:
    street = Street(bench, hold)
    yield street
    street.close()


def ends(end: End) -> int:
    return len(end.mux.relays)


def test_open_door_lets_in(bench: Bench, street: Street) -> None:
    street.open()
    street.call()
    bench.until(lambda: street.accepted)
    assert street.changes == [(street.address[1], True)]


def test_caller_waits_for_door(bench: Bench, street: Street) -> None:
    for _ in range(20):
        street.call()
    bench.until(lambda: street.changes == [(street.address[1], False)])
    bench.idle()
    assert not street.accepted
    street.open()
    bench.until(lambda: len(street.accepted) == 20)
    assert street.changes == [(street.address[1], False), (street.address[1], True)]
    assert not street.refused


@pytest.mark.parametrize("hold", [0.1, 0.0])
def test_late_caller_hears_why(bench: Bench, street: Street, hold: float) -> None:
    """Also who is late already when the first dial has come back."""
    street.call()
    bench.until(lambda: street.refused)
    host, port = street.address
    text = f"nothing listens on {host}:{port} on the developer's machine (waited {hold:g} s)"
    assert street.refused == [(Reason.REFUSED, text)]
    assert ends(street.client) == 0


@pytest.mark.parametrize("hold", [0.4])
def test_flapping_door_extends_nothing(bench: Bench, street: Street) -> None:
    """A process that comes and dies again and again does not make a caller wait for ever."""
    street.call()

    def flap() -> object:
        street.open().close()  # open and shut between two knocks: nobody gets in
        return street.refused

    bench.until(lambda: street.changes)
    bench.until(flap)
    assert not street.accepted


def test_probe_does_not_wait(bench: Bench, street: Street) -> None:
    street.call(probe=True)
    bench.until(lambda: street.refused)
    assert street.refused[0][0] is Reason.REFUSED


def test_other_ports_are_denied(bench: Bench, street: Street) -> None:
    for port in (9090, None, [1], "8080"):
        street.call(port=port)
    bench.until(lambda: len(street.refused) == 4)
    assert {reason for reason, _ in street.refused} == {Reason.DENIED}
    assert street.refused[0][1] == "port 9090 is not intercepted"


def test_closed_side_sends_back(bench: Bench, street: Street) -> None:
    """Those who wait, and those who come later: the agent hands them over to the restored pods."""
    street.call()
    bench.until(lambda: street.changes)
    street.local.close("the command has ended")
    street.call()
    bench.until(lambda: len(street.refused) == 2)
    assert street.refused == [(Reason.GONE, "the command has ended")] * 2


def test_dial_under_way_is_sent_back(bench: Bench, street: Street) -> None:
    """Closed while a dial runs that will be refused."""
    street.call()
    bench.until(lambda: street.client.opened)
    street.local.close("the command has ended")
    bench.until(lambda: street.refused)
    assert street.refused == [(Reason.GONE, "the command has ended")]


def test_caller_who_leaves_is_forgotten(bench: Bench, street: Street) -> None:
    relay = street.call()
    bench.until(lambda: street.changes)
    relay.reset(Reason.CANCELLED)
    bench.until(lambda: not street.client.mux.relays)
    server = street.open()
    server.settimeout(0)
    bench.idle()
    with pytest.raises(BlockingIOError):
        server.accept()
