"""What the program in a pod says becomes records, in pieces of any size; and what is no packet is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture import DROPPED, HEADER, PACKET
from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.hub import Hub, Observed, Tap
from interceptor.mesh.traffic.packets import Packets
from interceptor.mesh.traffic.record import INBOUND, Record
from interceptor.session import reading
from interceptor.session.debug.place import Place
from interceptor.session.reading import Attached, Reading, Records, read_along
from tests.mesh.traffic.test_packets import ACK, POD, SYN, WEB, packet
from tests.session.scene import Recorder, Scene

ASK, ANSWER = b"GET /books/1 HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def said() -> bytes:
    """One request and its answer, 5 ms later."""
    back = (8080, 4000)
    seen = [
        packet(WEB, POD, 10, 0, SYN),
        packet(POD, WEB, 90, 11, SYN | ACK, ports=back),
        packet(WEB, POD, 11, 91, ACK, ASK),
        packet(POD, WEB, 91, 11 + len(ASK), ACK, ANSWER, back),
    ]
    framed = [HEADER.pack(100.0 + at * 0.005, PACKET, len(one)) + bytes(one) for at, one in enumerate(seen)]
    return b"".join(framed) + HEADER.pack(101.0, DROPPED, 8) + struct.pack("!Q", 7)


def heard(pieces: list[bytes]) -> tuple[list[Record], Reading]:
    one = Reading(Place(cast(Cluster, None), "shop", "orders-0", "c", "image"), False, (POD,), "python3")
    hub = Hub(clock=lambda: one.now, wall=lambda: one.now)
    hub.wall = 0.0
    records = Records()
    tap = Tap(Filter(), records.take)
    hub.taps.append(tap)
    packets = Packets(one.own, [8080], lambda peer, port: Observed(hub, INBOUND, "orders-0", peer, port))
    framed = bytearray()
    for piece in pieces:
        framed += piece
        reading._unpack(framed, one, packets, hub, tap)
    found: list[Any] = [records.queue.get_nowait() for _ in range(records.queue.qsize())]
    return found, one


@given(st.lists(st.integers(1, 400), max_size=8))
def test_pieces_of_any_size(cuts: list[int]) -> None:
    whole, pieces = said(), []
    for cut in cuts:
        pieces.append(whole[:cut])
        whole = whole[cut:]
    (record,), one = heard([*pieces, whole])
    assert (record["path"], record["status"], record["peer"], record["pod"]) == (
        "/books/1",
        200,
        f"{WEB}:4000",
        "orders-0",
    )
    assert record["latency_ms"] == pytest.approx(5, abs=0.01)
    assert record["time"].startswith("1970-01-01T00:01:40.01")
    assert (one.dropped, one.now) == (7, 101.0)


def test_what_is_no_packet_is_refused() -> None:
    with pytest.raises(InterceptorError, match="pod orders-0 sends what is no packet"):
        heard([HEADER.pack(0.0, PACKET, 1 << 30)])


def script(path: Path, line: str) -> str:
    path.write_text(f"#!/bin/sh\n{line}\nexec sleep 60\n")
    path.chmod(0o755)
    return str(path)


async def read(orders: Scene, program: str) -> Reading:
    """A pod of the embedded cluster, where this program is what reads."""
    [pod] = (await orders.api.get(orders.api.path("pods")))["items"]
    async with orders.cluster() as cluster:
        place = Place(cluster, orders.api.namespace, pod["metadata"]["name"], "app", "image")
        one = Reading(place, False, (), program)
        wanted = Attached("orders", None, Filter(), False, 0)
        await read_along(one, (8080,), wanted, Records(), Recorder())
    return one


async def test_program_that_does_not_begin(orders: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "START_WITHIN", 0.1)
    one = await read(orders, script(tmp_path / "program", ""))
    assert one.error is not None
    assert one.error.message == f"can't read along in pod {one.place.pod}: its program did not begin within 0 s"
    assert one.error.hint == "run the same command again"


async def test_slow_start_is_no_silence(orders: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beginning may take longer than a pause of one that has begun."""
    monkeypatch.setattr(reading, "SILENT_LIMIT", 0.1)
    one = await read(orders, script(tmp_path / "program", "sleep 0.5; echo reading along >&2"))
    assert one.error is not None
    assert one.error.message == f"nothing is heard of pod {one.place.pod} any more"
    assert b"reading along" in one.said
