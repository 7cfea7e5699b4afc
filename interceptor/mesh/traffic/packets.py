"""TCP connections put together again from packets that somebody copied; pure. `session.attach` feeds it, `Observed` reads.

Only connections towards one of the pod's own addresses are followed. One that began earlier joins in with the next HTTP/1
request that begins in a packet of its own, as nearly all do; HTTP/2 can't be read from the middle, because its headers are
said only once. Where a packet is missing that its receiver got, the connection is given up: better not seen than seen wrong.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

MOST_FLOWS = 4096
MOST_HELD = 256 * 1024  # bytes of one direction that came before others
_REQUEST = re.compile(rb"[A-Z]{3,16} [!-~]+ HTTP/1\.[01]\r\n")
_TCP = 6
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_ROUND = 1 << 32

Key = tuple[bytes, int, bytes, int]  # the caller's address and port, then ours


class Connection(Protocol):
    """Who reads one connection: `hub.Observed`."""

    def to_socket(self, data: memoryview, /) -> None:
        """Bytes that the caller sent."""

    def from_socket(self, data: memoryview, /) -> None:
        """Bytes that the app sent."""

    def peer_ended(self) -> None:
        """The caller sends no more."""

    def socket_ended(self) -> None:
        """The app sends no more."""

    def finished(self) -> None:
        """The connection is over."""

    def missed(self) -> None:
        """Some bytes were not seen; nothing more is told."""


@dataclass(slots=True)
class _Side:
    """One direction: where it stands, and what came early."""

    next: int
    held: dict[int, bytes] = field(default_factory=dict)
    size: int = 0
    end: int | None = None
    over: bool = False


@dataclass(slots=True)
class _Flow:
    reader: Connection
    caller: _Side
    app: _Side | None  # until its first packet


@dataclass(frozen=True, slots=True)
class _Segment:
    source: bytes
    target: bytes
    source_port: int
    target_port: int
    number: int
    acknowledged: int
    flags: int
    data: memoryview


class Packets:
    """All connections to some ports of one pod."""

    def __init__(self, own: Collection[str], ports: Collection[int], begin: Callable[[str, int], Connection]) -> None:
        """`own` are the pod's addresses; `begin` is called with the caller's `address:port` and our port."""
        self._own = {_packed(address) for address in own}
        self._ports = frozenset(ports)
        self._begin = begin
        self._flows: dict[Key, _Flow] = {}
        self.missed = 0  # connections that were given up
        self.unread: set[Key] = set()  # those that began earlier, and not joined yet

    def packet(self, data: memoryview) -> None:
        """One IP packet, in the order they came."""
        segment = _parse(data)
        if segment is None:
            return
        if segment.target_port in self._ports and self._is_ours(segment.target):
            key = (segment.source, segment.source_port, segment.target, segment.target_port)
            self._from_caller(key, segment)
        elif segment.source_port in self._ports and self._is_ours(segment.source):
            key = (segment.target, segment.target_port, segment.source, segment.source_port)
            self._from_app(key, segment)

    def _is_ours(self, address: bytes) -> bool:
        return address in self._own or address[0] == 127 or address == _LOOPBACK6

    def _from_caller(self, key: Key, segment: _Segment) -> None:
        flow = self._flows.get(key)
        if segment.flags & _SYN:
            if flow is not None:
                self._give_up(key, flow)
            self._open(key, (segment.number + 1) % _ROUND, None)
            return
        if flow is None:
            if not segment.data or not _REQUEST.match(bytes(segment.data[:4096])):
                if segment.data and len(self.unread) < MOST_FLOWS:
                    self.unread.add(key)
                return
            self._open(key, segment.number, segment.acknowledged)
            flow = self._flows[key]
        if segment.flags & _ACK and flow.app is None:
            flow.app = _Side(segment.acknowledged)
        self._hear(key, flow, flow.caller, flow.app, segment)

    def _from_app(self, key: Key, segment: _Segment) -> None:
        flow = self._flows.get(key)
        if flow is None:
            return
        if segment.flags & _SYN:
            flow.app = _Side((segment.number + 1) % _ROUND)
            return
        if flow.app is None:
            flow.app = _Side(segment.number)
        self._hear(key, flow, flow.app, flow.caller, segment)

    def _open(self, key: Key, number: int, acknowledged: int | None) -> None:
        self.unread.discard(key)
        if len(self._flows) >= MOST_FLOWS:
            oldest = next(iter(self._flows))
            self._give_up(oldest, self._flows[oldest])
        address = socket.inet_ntop(socket.AF_INET if len(key[0]) == 4 else socket.AF_INET6, key[0])
        peer = f"{address}:{key[1]}" if len(key[0]) == 4 else f"[{address}]:{key[1]}"
        app = None if acknowledged is None else _Side(acknowledged)
        self._flows[key] = _Flow(self._begin(peer, key[3]), _Side(number), app)

    def _hear(self, key: Key, flow: _Flow, side: _Side, other: _Side | None, segment: _Segment) -> None:
        """What one end sent; its acknowledgement tells what it has got of the other's."""
        if other is not None and segment.flags & _ACK and 0 < _after(segment.acknowledged, other.next) < _ROUND // 2:
            ended = other.end is not None and segment.acknowledged == (other.end + 1) % _ROUND
            if not (ended and other.next == other.end):
                self._give_up(key, flow)
                return
        if segment.flags & _RST:
            del self._flows[key]
            flow.reader.finished()
            return
        if segment.flags & _FIN:
            side.end = (segment.number + len(segment.data)) % _ROUND
        if segment.data:
            self._take(flow, side, segment.number, segment.data)
        while side.held and (early := side.held.pop(side.next, None)) is not None:
            side.size -= len(early)
            self._take(flow, side, side.next, memoryview(early))
        if side.size > MOST_HELD:
            self._give_up(key, flow)
            return
        if side.end == side.next and not side.over:
            side.over = True
            if side is flow.caller:
                flow.reader.peer_ended()
            else:
                flow.reader.socket_ended()
        if flow.caller.over and flow.app is not None and flow.app.over:
            del self._flows[key]
            flow.reader.finished()

    def _take(self, flow: _Flow, side: _Side, number: int, data: memoryview) -> None:
        ahead = _after(number, side.next)
        if 0 < ahead < _ROUND // 2:
            if number not in side.held or len(side.held[number]) < len(data):
                side.size += len(data) - len(side.held.get(number, b""))
                side.held[number] = bytes(data)
            return
        known = _after(side.next, number)  # sent once more: what is new of it?
        if known >= len(data):
            return
        fresh = data[known:]
        side.next = (side.next + len(fresh)) % _ROUND
        if side is flow.caller:
            flow.reader.to_socket(fresh)
        else:
            flow.reader.from_socket(fresh)

    def _give_up(self, key: Key, flow: _Flow) -> None:
        del self._flows[key]
        self.missed += 1
        flow.reader.missed()


_LOOPBACK6 = bytes(15) + b"\1"


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _after(number: int, other: int) -> int:
    return (number - other) % _ROUND


def _parse(data: memoryview) -> _Segment | None:
    """None for what is no TCP, or is cut off."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20 and data[9] == _TCP:
        start, total = (data[0] & 15) * 4, struct.unpack_from("!H", data, 2)[0]
        source, target = bytes(data[12:16]), bytes(data[16:20])
    elif version == 6 and len(data) >= 40 and data[6] == _TCP:
        start, total = 40, struct.unpack_from("!H", data, 4)[0]
        total = total + 40 if total else 0
        source, target = bytes(data[8:24]), bytes(data[24:40])
    else:
        return None
    end = total or len(data)  # 0: larger than the field can say
    if not start + 20 <= end <= len(data):
        return None
    source_port, target_port, number, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", data, start)
    begin = start + (offset >> 4) * 4
    if begin > end:
        return None
    return _Segment(source, target, source_port, target_port, number, acknowledged, flags, data[begin:end])
