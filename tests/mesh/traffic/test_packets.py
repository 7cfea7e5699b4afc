"""Packets become connections again: in order, said twice, from the middle, with a gap."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.mesh.traffic.packets import MOST_FLOWS, MOST_HELD, Packets

POD, WEB, OTHER = "10.244.0.9", "10.244.0.7", "10.244.0.8"
FIN, SYN, RST, ACK = 1, 2, 4, 16


def packet(
    source: str,
    target: str,
    number: int,
    acknowledged: int,
    flags: int,
    data: bytes = b"",
    ports: tuple[int, int] = (4000, 8080),
) -> memoryview:
    tcp = struct.pack("!HHIIBBHHH", *ports, number % 2**32, acknowledged % 2**32, 5 << 4, flags, 0, 0, 0) + data
    if ":" in source:
        ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
        return memoryview(struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + ends + tcp)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0)
    return memoryview(head + socket.inet_aton(source) + socket.inet_aton(target) + tcp)


@dataclass
class Heard:
    """What a reader of one connection was told."""

    peer: str
    asked: bytes = b""
    answered: bytes = b""
    told: list[str] = field(default_factory=list)

    def to_socket(self, data: memoryview) -> None:
        self.asked += data

    def from_socket(self, data: memoryview) -> None:
        self.answered += data

    def peer_ended(self) -> None:
        self.told.append("peer ended")

    def socket_ended(self) -> None:
        self.told.append("socket ended")

    def finished(self) -> None:
        self.told.append("finished")

    def missed(self) -> None:
        self.told.append("missed")


class Wire:
    """One connection of web's to the pod, and what is heard of it."""

    def __init__(self, first: int = 1000, second: int = 5000, source: str = WEB, target: str = POD) -> None:
        self.heard: list[Heard] = []
        self.packets = Packets([POD, "fd00::9"], [8080], self._begin)
        self.caller, self.app = first, second
        self.source, self.target = source, target

    def _begin(self, peer: str, port: int) -> Heard:
        assert port == 8080
        self.heard.append(Heard(peer))
        return self.heard[-1]

    def shake(self) -> Wire:
        self.say(0, SYN, move=1)
        self.answer(0, SYN | ACK, move=1)
        self.say(0, ACK)
        return self

    def say(self, offset: int, flags: int = ACK, data: bytes = b"", move: int | None = None) -> None:
        self.packets.packet(packet(self.source, self.target, self.caller + offset, self.app, flags, data))
        self.caller += len(data) if move is None else move

    def answer(self, offset: int, flags: int = ACK, data: bytes = b"", move: int | None = None) -> None:
        back = packet(self.target, self.source, self.app + offset, self.caller, flags, data, (8080, 4000))
        self.packets.packet(back)
        self.app += len(data) if move is None else move


@pytest.mark.parametrize("first", [1000, 2**32 - 3])
def test_both_directions_are_read(first: int) -> None:
    wire = Wire(first, first).shake()
    wire.say(0, data=b"GET / ")
    wire.say(0, data=b"HTTP/1.1\r\n\r\n")
    wire.answer(0, data=b"HTTP/1.1 204 No\r\n\r\n")
    (heard,) = wire.heard
    assert (heard.peer, heard.asked) == ("10.244.0.7:4000", b"GET / HTTP/1.1\r\n\r\n")
    assert heard.answered == b"HTTP/1.1 204 No\r\n\r\n"
    wire.say(0, FIN | ACK, move=1)
    wire.answer(0, FIN | ACK, move=1)
    wire.say(0, ACK)
    assert heard.told == ["peer ended", "socket ended", "finished"]


def test_ipv6_and_loopback_are_read() -> None:
    for source, target, peer in (
        ("fd00::7", "fd00::9", "[fd00::7]:4000"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:4000"),
    ):
        wire = Wire(source=source, target=target).shake()
        wire.say(0, data=b"x")
        assert [(heard.peer, heard.asked) for heard in wire.heard] == [(peer, b"x")]


def test_calls_of_the_pod_are_not_its_callers() -> None:
    """It may call the same port of another pod."""
    wire = Wire(source=POD, target=OTHER).shake()
    wire.say(0, data=b"GET / HTTP/1.1\r\n\r\n")
    assert wire.heard == []


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=4))
def test_order_and_repetition_do_not_matter(order: list[int], again: list[int]) -> None:
    wire = Wire().shake()
    words = [b"one ", b"two ", b"three ", b"four ", b"five ", b"six"]
    places = [sum(map(len, words[:number])) for number in range(6)]
    for number in [*order, *again]:
        wire.say(places[number], data=words[number], move=0)
    assert wire.heard[0].asked == b"".join(words)


def test_overlap_is_read_once() -> None:
    wire = Wire().shake()
    wire.say(0, data=b"abc", move=0)
    wire.say(1, data=b"bcdef", move=0)
    assert wire.heard[0].asked == b"abcdef"


def test_request_joins_in() -> None:
    """A connection that is kept open for long, as a proxy's are."""
    wire = Wire()
    wire.answer(0, data=b"the rest of an answer")
    wire.say(0, data=b"the rest of a request")
    assert (wire.heard, len(wire.packets.unread)) == ([], 1)
    wire.say(0, data=b"GET /books HTTP/1.1\r\nHost: x\r\n\r\n")
    wire.answer(0, data=b"HTTP/1.1 200 OK\r\n\r\n")
    (heard,) = wire.heard
    assert (heard.asked[:10], heard.answered) == (b"GET /books", b"HTTP/1.1 200 OK\r\n\r\n")
    assert not wire.packets.unread


def test_gap_gives_up() -> None:
    """What its receiver acknowledges and we never saw was dropped on its way to us."""
    wire = Wire().shake()
    wire.caller += 100
    wire.answer(0, ACK)
    assert (wire.heard[0].told, wire.packets.missed) == (["missed"], 1)
    wire.say(0, data=b"GET / HTTP/1.1\r\n\r\n")  # and is read again from its next request on
    assert wire.heard[1].asked.startswith(b"GET /")


def test_reset_ends() -> None:
    wire = Wire().shake()
    wire.answer(0, RST | ACK)
    assert wire.heard[0].told == ["finished"]


def test_memory_is_bounded() -> None:
    wire = Wire().shake()
    for number in range(MOST_HELD // 1000 + 2):
        wire.say(10 + number * 1000, data=bytes(1000), move=0)
    assert wire.heard[0].told == ["missed"]
    for number in range(MOST_FLOWS + 5):
        source = f"10.1.{number // 250}.{number % 250}"
        wire.packets.packet(packet(source, POD, 1, 0, SYN))
    assert len(wire.packets._flows) == MOST_FLOWS


@given(st.binary(max_size=100))
def test_anything_is_survived(data: bytes) -> None:
    packets = Packets([POD], [8080], lambda peer, port: Heard(peer))
    for head in (b"", b"\x45\0\0\x40", b"\x60\0\0\0\0\x20\x06\0"):
        packets.packet(memoryview(head + data))
