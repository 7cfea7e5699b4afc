"""What shares a message on its way out, a system call on its way in, and who waits behind a bulk."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from interceptor.tunnel.courtesy import BULK
from interceptor.tunnel.mux import ENOUGH, MOST_PARTS
from interceptor.tunnel.pace import START
from interceptor.tunnel.relay import BURST, Relay
from interceptor.wire.connection import Connection, Role
from interceptor.wire.events import DataReceived
from interceptor.wire.frames import HEADER_SIZE, MAX_PAYLOAD, Kind, frame
from interceptor.wire.layer import Buffer
from interceptor.wire.limits import Limits
from interceptor.wire.reasons import Reason
from tests.tunnel.muxes import SESSION, Bench, End
from tests.wire.pair import hear

WIDE = 8 * 1024 * 1024


class Notebook:
    """A layer that changes nothing and keeps each message that passes it on the way out."""

    ready = True

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def receive(self, data: memoryview) -> memoryview:
        return data

    def send(self, data: Buffer) -> Buffer:
        self.messages.append(bytes(data))
        return self.messages[-1]

    def pending(self) -> bytes:
        return b""

    def close(self) -> bytes:
        return b""


class Scene:
    """An agent's mux whose messages are kept, and a peer of which the test says what it hears and says, and when."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.sock, inner = bench.sockets()
        self.notebook = Notebook()
        self.peer = Connection(Role.CLIENT, SESSION, limits=Limits(window=WIDE, largest_window=WIDE))
        self.agent = End(bench.poller, Role.AGENT, Limits(), 60.0, SESSION)
        bench._ends.append(self.agent)
        self.agent.mux.start(inner, [self.notebook])
        self.say()
        bench.until(lambda: self.agent.greeted)
        self.heard: dict[int, bytearray] = {}
        self.hear()
        self.notebook.messages.clear()

    def say(self) -> None:
        """All that the peer has to say, its answers to pings too."""
        data = memoryview(bytes(self.peer.take()))
        while data:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                self.bench.poller.turn()

    def hear(self) -> None:
        """All that the agent has said, until nothing more comes; the peer answers none of it yet."""
        self.bench.idle()
        while True:
            try:
                data = self.sock.recv(1024 * 1024)
            except BlockingIOError:
                return
            for event in hear(self.peer, data):
                if isinstance(event, DataReceived):
                    self.heard.setdefault(event.stream, bytearray()).extend(event.data)
            self.bench.idle()

    def stream(self) -> tuple[socket.socket, Relay]:
        """A caller's socket, whose stream the peer has accepted."""
        relay = self.agent.mux.open({"port": 8080})
        near, inner = self.bench.sockets()
        relay.on_accepted = lambda accepted: accepted.attach(inner)
        self.hear()
        self.peer.accept(relay.number)
        self.say()
        self.bench.until(lambda: relay.sock is not None)
        self.notebook.messages.clear()
        return near, relay


@pytest.fixture
def scene() -> Iterator[Scene]:
    bench = Bench()
    yield Scene(bench)
    bench.close()


# --- out -------------------------------------------------------------------------------------------------------


def test_room_shrinks_by_what_waits(scene: Scene) -> None:
    mux = scene.agent.mux
    assert mux.room() == MAX_PAYLOAD
    mux.connection.control({"a": 1})
    waiting = mux.connection.waiting
    assert waiting
    assert mux.room() == MAX_PAYLOAD - waiting
    assert scene.notebook.messages == []


def test_little_room_sends_first(scene: Scene) -> None:
    mux = scene.agent.mux
    mux.connection.control({"a": "x" * (MAX_PAYLOAD - ENOUGH)})
    assert mux.room() == MAX_PAYLOAD
    assert len(scene.notebook.messages) == 1


def test_full_link_leaves_some_room(scene: Scene) -> None:
    """Nothing can be sent now, and nobody may be told to read nothing: that would look like the end."""
    mux = scene.agent.mux
    mux.connection.control({"a": "x" * (MAX_PAYLOAD - ENOUGH)})
    assert mux._link is not None
    mux._link.full = True
    assert mux.room() == ENOUGH
    mux._link.full = False


def test_queued_frames_lead_a_direct_one(scene: Scene) -> None:
    _, relay = scene.stream()
    mux = scene.agent.mux
    mux.connection.control({"first": 1})
    mux.connection.send(relay.number, b"second")
    before = frame(Kind.CONTROL, 0, b'{"first":1}') + frame(Kind.DATA, relay.number, b"second")
    payload = os.urandom(40_000)
    mux.payload[: len(payload)] = payload
    mux.send_direct(relay.number, len(payload))
    assert scene.notebook.messages == [before + frame(Kind.DATA, relay.number, payload)]


def test_lone_direct_frame_is_whole(scene: Scene) -> None:
    _, relay = scene.stream()
    payload = os.urandom(MAX_PAYLOAD)
    scene.agent.mux.payload[:] = payload
    scene.agent.mux.send_direct(relay.number, MAX_PAYLOAD)
    assert scene.notebook.messages == [frame(Kind.DATA, relay.number, payload)]


def test_long_queue_goes_ahead(scene: Scene) -> None:
    """Frames that leave no room in front of the payload are a message of their own, before it."""
    _, relay = scene.stream()
    mux = scene.agent.mux
    for number in range(3):
        mux.connection.control({"number": number, "filling": "x" * 30_000})
    payload = os.urandom(40_000)
    mux.payload[: len(payload)] = payload
    mux.send_direct(relay.number, len(payload))
    queued, direct = scene.notebook.messages
    assert len(queued) > MAX_PAYLOAD
    assert direct == frame(Kind.DATA, relay.number, payload)


def test_bulk_fills_whole_messages(scene: Scene) -> None:
    near, relay = scene.stream()
    sent = os.urandom(400_000)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
    assert near.send(sent) == len(sent)
    scene.hear()
    assert bytes(scene.heard[relay.number]) == sent
    assert max(map(len, scene.notebook.messages)) <= MAX_PAYLOAD + HEADER_SIZE


def test_pieces_share_a_write(scene: Scene) -> None:
    near, relay = scene.stream()
    moved = relay.moved
    for number in range(20):
        scene.peer.send(relay.number, b"%02d" % number)
    scene.say()
    assert scene.bench.read(near, 40) == b"".join(b"%02d" % number for number in range(20))
    assert relay.moved == moved + 1


def test_pieces_in_one_write_are_bounded(scene: Scene) -> None:
    near, relay = scene.stream()
    moved = relay.moved
    pieces = 2 * MOST_PARTS + 1
    for number in range(pieces):
        scene.peer.send(relay.number, b"%04d" % number)
    scene.say()
    assert scene.bench.read(near, 4 * pieces) == b"".join(b"%04d" % number for number in range(pieces))
    assert relay.moved == moved + 3


def test_streams_between_keep_their_own(scene: Scene) -> None:
    (one, first), (two, second) = scene.stream(), scene.stream()
    for relay, data in ((first, b"ab"), (first, b"cd"), (second, b"12"), (first, b"ef"), (second, b"34")):
        scene.peer.send(relay.number, data)
    scene.say()
    assert scene.bench.read(one, 6) == b"abcdef"
    assert scene.bench.read(two, 4) == b"1234"


def test_other_events_keep_their_place(scene: Scene) -> None:
    """Data, a message, data, the end: each is told when all before it was."""
    near, relay = scene.stream()
    scene.peer.send(relay.number, b"before")
    scene.peer.control({"in": "between"})
    scene.peer.send(relay.number, b" and ")
    scene.peer.send(relay.number, b"after")
    scene.peer.end(relay.number)
    scene.say()
    assert scene.bench.read(near, 100) == b"before and after"
    assert scene.agent.messages == [{"in": "between"}]
    assert not relay.finished


def test_data_before_a_reset_is_written(scene: Scene) -> None:
    near, relay = scene.stream()
    wrote: list[int] = []
    relay.on_refused = lambda refused, *_: wrote.append(refused.moved)
    moved = relay.moved
    scene.peer.send(relay.number, b"half an ")
    scene.peer.send(relay.number, b"answer")
    scene.peer.reset(relay.number, Reason.BROKEN, "crashed")
    scene.say()
    scene.bench.until(lambda: relay.finished)
    assert wrote == []  # an answer has begun: nothing is put into it
    assert relay.moved == moved + 1
    with pytest.raises(ConnectionResetError):
        scene.bench.read(near, 100)


def test_data_before_a_violation_is_written(scene: Scene) -> None:
    near, relay = scene.stream()
    scene.peer.send(relay.number, b"good")
    scene.sock.send(bytes(scene.peer.take()) + frame(77))
    scene.bench.until(lambda: scene.agent.ended)
    assert scene.agent.ended[0][0] is Reason.PROTOCOL
    assert relay.answered
    with pytest.raises(ConnectionResetError):
        scene.bench.read(near, 100)


def test_data_of_a_dropped_stream_is_skipped(scene: Scene) -> None:
    (_, gone), (near, kept) = scene.stream(), scene.stream()
    scene.peer.send(gone.number, b"lost")
    scene.peer.send(gone.number, b"too")
    scene.peer.send(kept.number, b"kept")
    gone.reset(Reason.CANCELLED)
    scene.say()
    assert scene.bench.read(near, 4) == b"kept"
    assert not scene.agent.ended


# --- pace ------------------------------------------------------------------------------------------------------


def push(scene: Scene, sock: socket.socket, data: memoryview) -> memoryview:
    """Write until the other side takes no more; the rest."""
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            before = sum(map(len, scene.heard.values()))
            scene.hear()
            if sum(map(len, scene.heard.values())) == before:
                return data
    return data


def test_bulk_waits_small_ones_pass(scene: Scene) -> None:
    """Without a pong nobody knows how much still queues on the way: a bulk stops, a request does not."""
    (bulk, large), (caller, small) = scene.stream(), scene.stream()
    content = os.urandom(3 * START)
    rest = push(scene, bulk, memoryview(content))
    scene.hear()
    arrived = len(scene.heard[large.number])
    assert START - MAX_PAYLOAD <= arrived <= START + MAX_PAYLOAD + BURST
    assert scene.agent.mux.pace.full
    caller.send(b"GET / HTTP/1.1\r\n\r\n")
    scene.hear()
    assert bytes(scene.heard[small.number]) == b"GET / HTTP/1.1\r\n\r\n"
    assert len(scene.heard[large.number]) == arrived
    while rest or len(scene.heard[large.number]) < len(content):
        scene.say()  # the pongs
        rest = push(scene, bulk, rest)
        scene.hear()
    assert bytes(scene.heard[large.number]) == content


def test_burst_ends_too(scene: Scene) -> None:
    """What a stream may send beside a bulk is bounded, and renewed by each pong."""
    (bulk, _), (caller, small) = scene.stream(), scene.stream()
    push(scene, bulk, memoryview(bytes(3 * START)))
    scene.hear()
    content = os.urandom(3 * BURST)
    assert caller.send(content) == len(content)
    scene.hear()
    assert len(scene.heard[small.number]) == BURST
    while len(scene.heard[small.number]) < len(content):
        scene.say()
        scene.hear()
    assert bytes(scene.heard[small.number]) == content


def test_ended_stream_waits_no_more(scene: Scene) -> None:
    bulk, large = scene.stream()
    push(scene, bulk, memoryview(bytes(3 * START)))
    scene.hear()
    assert scene.agent.mux._paced
    scene.peer.reset(large.number, Reason.CANCELLED)
    scene.say()
    scene.bench.until(lambda: large.finished)
    assert not scene.agent.mux._paced


# --- courtesy --------------------------------------------------------------------------------------------------


def test_bulk_waits_for_others(scene: Scene) -> None:
    """While somebody else asks and answers, it leaves the path alone after each message; nothing of it is lost."""
    (bulk, large), (caller, small) = scene.stream(), scene.stream()
    mux = scene.agent.mux
    content = os.urandom(START)
    rest = push(scene, bulk, memoryview(content)[: BULK + MAX_PAYLOAD])
    assert not rest
    assert not mux._polite
    mux.pace.cost = 1.0  # the slowest path: the longest wait
    caller.send(b"GET / HTTP/1.1\r\n\r\n")
    scene.hear()
    assert mux.courtesy.others_at > 0
    mux.courtesy.others_at = float("inf")  # and they stay
    rest = memoryview(content)[BULK + MAX_PAYLOAD :]
    rest = rest[bulk.send(rest) :]
    scene.bench.until(lambda: mux._polite == {large: None})
    caller.send(b"GET / HTTP/1.1\r\n\r\n")
    scene.hear()
    mux.courtesy.others_at = float("-inf")  # gone
    assert bytes(scene.heard[small.number]) == 2 * b"GET / HTTP/1.1\r\n\r\n"
    while rest or len(scene.heard[large.number]) < len(content):
        scene.say()
        rest = push(scene, bulk, rest)
        scene.hear()
    assert bytes(scene.heard[large.number]) == content
    assert not mux._polite


def test_ended_bulk_waits_no_more(scene: Scene) -> None:
    bulk, large = scene.stream()
    mux = scene.agent.mux
    mux.pace.cost = 1.0
    mux.courtesy.others_at = float("inf")
    assert not push(scene, bulk, memoryview(bytes(BULK + MAX_PAYLOAD)))
    assert bulk.send(bytes(START))
    scene.bench.until(lambda: large in mux._polite)
    scene.peer.reset(large.number, Reason.CANCELLED)
    scene.say()
    scene.bench.until(lambda: large.finished)
    assert not mux._polite
    scene.bench.until(lambda: mux._next is None)
