"""Any conversation, cut anywhere: both ends agree, bytes keep their order, credit and memory keep their bounds."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interceptor.wire.connection import Connection, Role
from interceptor.wire.events import (
    Closed,
    ControlReceived,
    DataReceived,
    Event,
    PongReceived,
    StreamAccepted,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from interceptor.wire.limits import Limits
from interceptor.wire.reasons import Reason
from interceptor.wire.states import ConnectionState, Halves
from tests.wire.pair import sendable

LIMITS = Limits(window=600, largest_window=2400, growth=3000, streams=6, control=150_000, answers=50_000)
ENDS = (0, 1)


class Conversation(RuleBasedStateMachine):
    """Both ends say what they may; a pipe of bytes lies between them each way."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = (Connection(Role.CLIENT, "s", limits=LIMITS), Connection(Role.AGENT, "s", limits=LIMITS))
        self.pipes = (bytearray(), bytearray())  # towards the client, towards the agent
        self.said: dict[tuple[int, int], bytearray] = defaultdict(bytearray)  # by sender and stream
        self.heard: dict[tuple[int, int], bytearray] = defaultdict(bytearray)
        self.held: dict[tuple[int, int], int] = defaultdict(int)  # by listener and stream
        self.offered: set[tuple[int, int]] = set()  # to this end, unanswered
        self.accepted: set[tuple[int, int]] = set()
        self.ended: set[tuple[int, int]] = set()  # by sender
        self.resets: set[int] = set()  # said by either end
        self.controls: tuple[list[object], list[object]] = ([], [])
        self.pongs = [0, 0]
        self.closed = False
        self.counter = 0

    def flush(self, end: int) -> None:
        self.pipes[1 - end].extend(self.ends[end].take())

    def streams(self, end: int) -> list[int]:
        return sorted(self.ends[end].streams)

    def on(self, end: int, event: Event) -> None:
        peer = 1 - end
        if isinstance(event, StreamOpened):
            self.offered.add((end, event.stream))
        elif isinstance(event, StreamAccepted):
            assert (peer, event.stream) in self.accepted
        elif isinstance(event, DataReceived):
            assert (peer, event.stream) not in self.ended or self.said[peer, event.stream]
            self.heard[end, event.stream] += event.data
            self.held[end, event.stream] += len(event.data)
        elif isinstance(event, StreamEnded):
            assert (peer, event.stream) in self.ended
            assert self.heard[end, event.stream] == self.said[peer, event.stream]
        elif isinstance(event, StreamReset):
            assert event.stream in self.resets or event.reason is Reason.MEMORY
            self.offered.discard((end, event.stream))
        elif isinstance(event, ControlReceived):
            assert event.message == self.controls[peer].pop(0)
        elif isinstance(event, PongReceived):
            self.pongs[end] -= 1
        elif isinstance(event, Closed):
            assert self.closed

    @rule(end=st.sampled_from(ENDS), cuts=st.lists(st.integers(1, 700), min_size=1, max_size=8))
    def carry(self, end: int, cuts: list[int]) -> None:
        """Some pieces of what is on its way to `end` arrive."""
        self.flush(1 - end)
        pipe = self.pipes[end]
        for cut in cuts:
            piece = bytes(pipe[:cut])
            del pipe[:cut]
            for event in self.ends[end].receive(memoryview(piece)):
                self.on(end, event)

    @precondition(lambda self: any(end.state is ConnectionState.OPEN for end in self.ends))
    @rule(end=st.sampled_from(ENDS), size=st.integers(0, 300))
    def open(self, end: int, size: int) -> None:
        if self.ends[end].state is ConnectionState.OPEN:
            self.ends[end].open({"host": "h" * size})

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        waiting = sorted(pair for pair in self.offered if pair[1] in self.ends[pair[0]].streams)
        if waiting:
            end, stream = data.draw(st.sampled_from(waiting))
            self.offered.discard((end, stream))
            if data.draw(st.booleans()):
                self.accepted.add((end, stream))
                self.ends[end].accept(stream)
            else:
                self.resets.add(stream)
                self.ends[end].reset(stream, Reason.REFUSED, "no")

    @rule(end=st.sampled_from(ENDS), data=st.data(), share=st.floats(0, 1))
    def send(self, end: int, data: st.DataObject, share: float) -> None:
        able = [stream for stream in self.streams(end) if sendable(self.ends[end], stream)]
        if able:
            stream = data.draw(st.sampled_from(able))
            size = max(1, int(sendable(self.ends[end], stream) * share))
            self.counter += 1
            payload = bytes((self.counter + index) % 251 for index in range(size))
            self.said[end, stream] += payload
            self.ends[end].send(stream, payload)

    @rule(end=st.sampled_from(ENDS), data=st.data())
    def half_close(self, end: int, data: st.DataObject) -> None:
        able = [s for s in self.streams(end) if self.ends[end].streams[s].sends_data]
        if able:
            stream = data.draw(st.sampled_from(able))
            self.ended.add((end, stream))
            self.ends[end].end(stream)

    @rule(end=st.sampled_from(ENDS), data=st.data())
    def reset(self, end: int, data: st.DataObject) -> None:
        if self.streams(end):
            stream = data.draw(st.sampled_from(self.streams(end)))
            self.resets.add(stream)
            self.offered.discard((end, stream))
            self.ends[end].reset(stream, Reason.CANCELLED)

    @rule(end=st.sampled_from(ENDS), data=st.data(), share=st.floats(0, 1))
    def consume(self, end: int, data: st.DataObject, share: float) -> None:
        able = sorted(stream for (at, stream), size in self.held.items() if at == end and size)
        if able:
            stream = data.draw(st.sampled_from(able))
            size = max(1, int(self.held[end, stream] * share))
            self.held[end, stream] -= size
            self.ends[end].consumed(stream, size)

    @rule(end=st.sampled_from(ENDS), size=st.sampled_from([0, 10, 70_000]))
    def control(self, end: int, size: int) -> None:
        if self.ends[end].state in (ConnectionState.GREETING, ConnectionState.OPEN):
            message = {"n": len(self.controls[end]), "pad": "x" * size}
            self.controls[end].append(message)
            self.ends[end].control(message)

    @rule(end=st.sampled_from(ENDS))
    def ping(self, end: int) -> None:
        if self.ends[end].state is ConnectionState.OPEN:
            self.pongs[end] += 1
            self.ends[end].ping(b"timestmp")

    @precondition(lambda self: self.counter > 12)
    @rule(end=st.sampled_from(ENDS))
    def close(self, end: int) -> None:
        self.closed = True
        self.ends[end].close(Reason.GOODBYE)

    @invariant()
    def order_is_kept(self) -> None:
        for (end, stream), heard in self.heard.items():
            assert self.said[1 - end, stream].startswith(heard)

    @invariant()
    def credit_is_kept(self) -> None:
        for end in self.ends:
            growth = 0
            for stream in end.streams.values():
                assert stream.credit >= 0
                assert stream.held >= 0
                assert stream.granted >= 0
                if stream.halves not in (Halves.GOT_END, Halves.CLOSED):
                    assert stream.granted + stream.held + stream.returnable == stream.window
                assert LIMITS.window <= stream.window <= LIMITS.largest_window
                growth += stream.window - LIMITS.window
            assert growth <= LIMITS.growth

    @invariant()
    def memory_is_bounded(self) -> None:
        for number, end in enumerate(self.ends):
            theirs = [stream for stream in end.streams if stream % 2 == number]
            assert len(theirs) <= LIMITS.streams
            assert (
                sum(stream.held for stream in end.streams.values()) <= len(end.streams) * LIMITS.window + LIMITS.growth
            )

    def teardown(self) -> None:
        """In the end everything arrives, and both agree on what is still open."""
        while any(end.waiting for end in self.ends) or any(self.pipes):
            for end in ENDS:
                self.carry(end, [1 << 20])
        if not self.closed:
            first, second = self.ends
            both = first.streams.keys() & second.streams.keys()
            assert both == first.streams.keys() | second.streams.keys()
            mirror = {Halves.BOTH: Halves.BOTH, Halves.SENT_END: Halves.GOT_END, Halves.GOT_END: Halves.SENT_END}
            for stream in both:
                assert first.streams[stream].halves is mirror[second.streams[stream].halves]
                assert self.heard[1, stream] == self.said[0, stream]
                assert self.heard[0, stream] == self.said[1, stream]
                assert first.streams[stream].credit == second.streams[stream].granted or (0, stream) in self.ended
                assert second.streams[stream].credit == first.streams[stream].granted or (1, stream) in self.ended
            assert self.pongs == [0, 0]
            assert self.controls == ([], [])


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=25, stateful_step_count=50, deadline=None)
