"""Conversations of two ends, read aloud."""

from __future__ import annotations

import pytest

from interceptor.wire.connection import Connection, Role
from interceptor.wire.errors import LocalProtocolError, RemoteProtocolError
from interceptor.wire.events import (
    Closed,
    Credited,
    DataReceived,
    HelloReceived,
    PongReceived,
    StreamAccepted,
    StreamEnded,
    StreamOpened,
    StreamReset,
)
from interceptor.wire.frames import CREDIT, HEADER_SIZE, MAX_CREDIT, MAX_PAYLOAD, Flag, Kind
from interceptor.wire.limits import Limits
from interceptor.wire.reasons import Reason
from interceptor.wire.states import ConnectionState
from tests.wire.pair import ConnectionPair, bytes_of, hear, inject, messages, sendable

SMALL = Limits(window=1000, largest_window=4000, growth=5000, streams=3, control=200_000, answers=10_000)


@pytest.fixture
def pair() -> ConnectionPair:
    return ConnectionPair()


def test_both_greet_at_once() -> None:
    pair = ConnectionPair(greeted=False)
    assert pair.say(pair.client) == [HelloReceived("orders-x7f2q", 1, frozenset({"hold", "outbound"}))]
    assert (pair.client.state, pair.agent.state) == (ConnectionState.GREETING, ConnectionState.OPEN)
    assert len(pair.say(pair.agent)) == 1
    assert (pair.client.state, pair.agent.state) == (ConnectionState.OPEN, ConnectionState.OPEN)


def test_open_waits_for_greeting() -> None:
    with pytest.raises(LocalProtocolError, match="open while GREETING"):
        ConnectionPair(greeted=False).client.open({})


@pytest.mark.parametrize(("ours", "theirs", "common"), [(1, 1, 1), (3, 2, 2), (1, 7, 1)])
def test_lower_version_wins(ours: int, theirs: int, common: int) -> None:
    client = Connection(Role.CLIENT, "s", version=ours)
    agent = Connection(Role.AGENT, "s", version=theirs)
    hear(agent, bytes(client.take()))
    hear(client, bytes(agent.take()))
    assert client.version == agent.version == common


def test_common_features_remain() -> None:
    client = Connection(Role.CLIENT, "s", features=frozenset({"hold", "taps"}))
    agent = Connection(Role.AGENT, "s", features=frozenset({"hold", "files"}))
    hear(agent, bytes(client.take()))
    hear(client, bytes(agent.take()))
    assert client.features == agent.features == {"hold"}


@pytest.mark.parametrize(
    ("hello", "complaint"),
    [
        (b"", "without version"),
        (b"[]", "JSON object"),
        (b"{", "does not hold JSON"),
        (b"[" * 8000, "does not hold JSON"),
        (b'{"version":0,"session":"s","features":[],"window":1}', "without version"),
        (b'{"version":true,"session":"s","features":[],"window":1}', "without version"),
        (b'{"version":1,"session":7,"features":[],"window":1}', "without version or session"),
        (b'{"version":1,"session":"s","features":[],"window":0}', "without window"),
        (b'{"version":1,"session":"s","features":[],"window":2147483648}', "without window"),
        (b'{"version":1,"session":"s","features":[1],"window":1}', "without features"),
        (b'{"version":1,"session":"s","window":1}', "without features"),
        (b'{"version":1,"session":"other","features":[],"window":1}', "of session 'other', this is 's'"),
    ],
)
def test_bad_greeting_ends_it(hello: bytes, complaint: str) -> None:
    agent = Connection(Role.AGENT, "s")
    with pytest.raises(RemoteProtocolError, match=complaint):
        inject(agent, Kind.HELLO, 0, hello)
    assert agent.state is ConnectionState.CLOSED


def test_newer_greeting_is_read() -> None:
    agent = Connection(Role.AGENT, "s")
    hello = b'{"version":9,"session":"s","features":["x"],"window":5,"colour":"blue"}'
    assert inject(agent, Kind.HELLO, 0, hello) == [HelloReceived("s", 1, frozenset())]


def test_second_greeting_is_refused(pair: ConnectionPair) -> None:
    with pytest.raises(RemoteProtocolError, match="second HELLO"):
        inject(pair.agent, Kind.HELLO, 0, b"{}")


def test_nothing_precedes_greeting() -> None:
    agent = ConnectionPair(greeted=False).agent
    with pytest.raises(RemoteProtocolError, match="before HELLO"):
        inject(agent, Kind.PING, 0, bytes(8))


def test_close_may_precede_greeting() -> None:
    agent = ConnectionPair(greeted=False).agent
    assert inject(agent, Kind.CLOSE, 0, b"\x0bnewer") == [Closed(Reason.REPLACED, "newer")]


def test_stream_opens_and_answers(pair: ConnectionPair) -> None:
    number = pair.client.open({"host": "db", "port": 5432})
    assert pair.say(pair.client) == [StreamOpened(number, {"host": "db", "port": 5432})]
    pair.agent.accept(number, {"address": "10.0.0.7"})
    assert pair.say(pair.agent) == [StreamAccepted(number, {"address": "10.0.0.7"})]


def test_numbers_never_collide(pair: ConnectionPair) -> None:
    assert [pair.client.open({}), pair.client.open({})] == [1, 3]
    assert [pair.agent.open({}), pair.agent.open({})] == [2, 4]


@pytest.mark.parametrize("step", [0, 1, 7, HEADER_SIZE, 4096])
def test_bytes_arrive_in_order(pair: ConnectionPair, step: int) -> None:
    number = pair.opened()
    pair.client.send(number, b"first ")
    pair.client.send(number, bytearray(b"x") * 5000)
    pair.client.send(number, memoryview(b" last"))
    pair.client.end(number)
    heard = pair.say(pair.client, step)
    assert bytes_of(heard) == b"first " + b"x" * 5000 + b" last"
    assert heard[-1] == StreamEnded(number)


def test_data_may_precede_accept(pair: ConnectionPair) -> None:
    number = pair.client.open({})
    pair.client.send(number, b"early")
    pair.client.end(number)
    heard = pair.say(pair.client)
    assert [type(event) for event in heard] == [StreamOpened, DataReceived, StreamEnded]


def test_acceptor_accepts_first(pair: ConnectionPair) -> None:
    number = pair.client.open({})
    pair.say(pair.client)
    assert sendable(pair.agent, number) == 0
    with pytest.raises(LocalProtocolError, match="SEND_DATA while OFFERED"):
        pair.agent.send(number, b"too soon")


def test_head_is_a_frame(pair: ConnectionPair) -> None:
    number = pair.opened()
    buffer = bytearray(HEADER_SIZE) + b"payload"
    pair.client.head(number, buffer, 7)
    assert bytes_of(hear(pair.agent, bytes(pair.client.take()) + bytes(buffer))) == b"payload"


def test_halves_end_apart(pair: ConnectionPair) -> None:
    number = pair.opened()
    pair.client.end(number)
    assert pair.say(pair.client) == [StreamEnded(number)]
    pair.agent.send(number, b"still talking")
    pair.agent.end(number)
    assert bytes_of(pair.say(pair.agent)) == b"still talking"
    assert not pair.client.streams
    assert not pair.agent.streams


def test_reset_tells_why(pair: ConnectionPair) -> None:
    number = pair.client.open({"host": "nowhere"})
    pair.say(pair.client)
    pair.agent.reset(number, Reason.NAME, "nowhere: unknown")
    assert pair.say(pair.agent) == [StreamReset(number, Reason.NAME, "nowhere: unknown")]
    assert not pair.client.streams
    pair.agent.reset(number, Reason.BROKEN)  # over already: no frame
    assert not pair.agent.waiting


def test_unknown_reason_keeps_text(pair: ConnectionPair) -> None:
    number = pair.opened()
    assert inject(pair.client, Kind.RESET, number, b"\xfaof a later version") == [
        StreamReset(number, Reason.BROKEN, "of a later version")
    ]
    assert inject(pair.client, Kind.CLOSE) == [Closed(Reason.CANCELLED, "")]


def test_late_frames_are_dropped(pair: ConnectionPair) -> None:
    number = pair.opened()
    pair.agent.send(number, b"crossing")
    pair.agent.end(number)
    pair.client.reset(number, Reason.CANCELLED)
    assert pair.say(pair.agent) == []
    for kind, payload in ((Kind.ACCEPT, b""), (Kind.CREDIT, CREDIT.pack(9)), (Kind.RESET, b"\0"), (Kind.DATA, b"x")):
        assert inject(pair.client, kind, number, payload) == []


def test_reset_drops_rest_of_frame(pair: ConnectionPair) -> None:
    number = pair.opened()
    pair.agent.send(number, b"0123456789")
    frame = bytes(pair.agent.take())
    assert bytes_of(hear(pair.client, frame[:12])) == b"0123"
    pair.client.reset(number, Reason.CANCELLED)
    assert hear(pair.client, frame[12:]) == []


def test_verbs_follow_events(pair: ConnectionPair) -> None:
    """An event's verbs are judged by what came before it, not by the reset behind it in the same read."""
    number = pair.client.open({})
    pair.client.reset(number, Reason.CANCELLED)
    seen: list[object] = []
    for event in pair.agent.receive(memoryview(pair.client.take())):
        seen.append(type(event))
        if isinstance(event, StreamOpened):
            pair.agent.accept(event.stream)
    assert seen == [StreamOpened, StreamReset]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_unopened_stream_is_violation(pair: ConnectionPair, number: int) -> None:
    for listener in (pair.client, pair.agent):
        with pytest.raises(RemoteProtocolError, match=f"stream {number} was never opened"):
            inject(listener, Kind.END, number)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_wrong_open_is_violation(pair: ConnectionPair, number: int) -> None:
    for _ in range(4):
        pair.client.open({})
    pair.say(pair.client)
    with pytest.raises(RemoteProtocolError, match=f"OPEN of stream {number}"):
        inject(pair.agent, Kind.OPEN, number)


@pytest.mark.parametrize(
    ("kind", "stream", "payload", "complaint"),
    [
        (Kind.PING, 0, b"short", "PING of 5 bytes"),
        (Kind.PONG, 0, b"short", "PONG of 5 bytes"),
        (Kind.PING, 1, bytes(8), "PING on stream 1"),
        (Kind.OPEN, 0, b"", "OPEN on stream 0"),
        (Kind.DATA, 0, b"x", "stream 0 was never opened"),
        (Kind.OPEN, 99, bytes(8193), "OPEN of 8193 bytes"),
        (Kind.END, 1, b"x", "END with a payload"),
        (Kind.CREDIT, 1, b"\0\0\1", "CREDIT of 3 bytes"),
        (Kind.CREDIT, 1, bytes(4), "credit of 0 bytes"),
        (Kind.CREDIT, 1, CREDIT.pack(MAX_CREDIT), f"credit of {MAX_CREDIT} bytes"),
        (Kind.RESET, 1, bytes(2049), "RESET of 2049 bytes"),
        (Kind.CONTROL, 0, b"7", "CONTROL does not hold a JSON object"),
        (Kind.CONTROL, 0, b"\xff", "CONTROL does not hold JSON"),
        (77, 0, b"", "unknown frame kind 77"),
    ],
)
def test_violation_ends_connection(
    pair: ConnectionPair, kind: int, stream: int, payload: bytes, complaint: str
) -> None:
    pair.opened()
    with pytest.raises(RemoteProtocolError, match=complaint):
        inject(pair.agent, kind, stream, payload)
    assert pair.agent.state is ConnectionState.CLOSED
    assert not pair.agent.streams
    (event,) = pair.say(pair.agent)
    assert isinstance(event, Closed)
    assert event.reason is Reason.PROTOCOL
    assert complaint in event.text
    assert pair.client.state is ConnectionState.CLOSED
    assert inject(pair.agent, Kind.PING, 0, bytes(8)) == []  # deaf from now on


def test_events_precede_violation(pair: ConnectionPair) -> None:
    number = pair.opened()
    pair.client.send(number, b"good")
    events = pair.agent.receive(memoryview(bytes(pair.client.take()) + bytes(8)))
    first = next(events)
    assert isinstance(first, DataReceived)
    assert bytes(first.data) == b"good"
    with pytest.raises(RemoteProtocolError, match="unknown frame kind 0"):
        next(events)


@pytest.mark.parametrize("step", [0, 1, 5])
def test_optional_kind_is_skipped(pair: ConnectionPair, step: int) -> None:
    unknown = bytes((200, Flag.OPTIONAL, 0, 3, 0, 0, 0, 9)) + b"???"
    pair.client.ping(b"12345678")
    hear(pair.agent, unknown + bytes(pair.client.take()), step)
    assert pair.say(pair.agent) == [PongReceived(b"12345678")]


def test_close_ends_everything(pair: ConnectionPair) -> None:
    number = pair.opened()
    pair.client.close(Reason.GOODBYE, "done")
    pair.client.close(Reason.BROKEN, "said once")
    assert pair.say(pair.client) == [Closed(Reason.GOODBYE, "done")]
    assert pair.client.state is ConnectionState.CLOSING
    assert pair.agent.state is ConnectionState.CLOSED
    for end in (pair.client, pair.agent):
        assert sendable(end, number) == 0
        end.ping(bytes(8))
        end.control({"too": "late"})
        end.reset(number, Reason.GONE)
        assert not end.waiting
        with pytest.raises(LocalProtocolError):
            end.open({})
        with pytest.raises(LocalProtocolError):
            end.send(number, b"x")


# --- credit --------------------------------------------------------------------------------------------------------


def test_credit_bounds_sender() -> None:
    pair = ConnectionPair(agent_limits=SMALL)
    number = pair.opened()
    assert sendable(pair.client, number) == 1000
    pair.client.send(number, bytes(1000))
    assert sendable(pair.client, number) == 0
    with pytest.raises(LocalProtocolError, match="1 bytes with credit for 0"):
        pair.client.send(number, b"x")


def test_frame_bounds_sender(pair: ConnectionPair) -> None:
    number = pair.opened()
    assert sendable(pair.client, number) == MAX_PAYLOAD
    with pytest.raises(LocalProtocolError):
        pair.client.send(number, bytes(MAX_PAYLOAD + 1))
    with pytest.raises(LocalProtocolError):
        pair.client.send(number, b"")


def test_overdraft_is_violation() -> None:
    pair = ConnectionPair(agent_limits=SMALL)
    number = pair.opened()
    with pytest.raises(RemoteProtocolError, match="1001 bytes beyond its credit"):
        inject(pair.agent, Kind.DATA, number, bytes(1001))


def test_consumed_bytes_give_credit_back() -> None:
    pair = ConnectionPair(agent_limits=SMALL._replace(growth=0))
    number = pair.opened()
    pair.client.send(number, bytes(1000))
    pair.say(pair.client)
    pair.agent.consumed(number, 499)
    assert not pair.agent.waiting  # less than half a window: not worth a frame
    pair.agent.consumed(number, 1)
    assert pair.say(pair.agent) == [Credited(number)]
    assert sendable(pair.client, number) == 500


def test_slow_reader_stops_itself() -> None:
    pair = ConnectionPair(agent_limits=SMALL)
    slow, quick = pair.opened(), pair.opened()
    pair.client.send(slow, bytes(1000))
    for _ in range(20):
        size = sendable(pair.client, quick)
        pair.client.send(quick, bytes(size))
        pair.say(pair.client)
        pair.agent.consumed(quick, size)
        pair.say(pair.agent)
    assert sendable(pair.client, slow) == 0
    assert sendable(pair.client, quick) > 0


def test_fast_stream_gets_more() -> None:
    pair = ConnectionPair(agent_limits=SMALL)
    number = pair.opened()
    windows = []
    for _ in range(4):
        size = sendable(pair.client, number)
        windows.append(size)
        pair.client.send(number, bytes(size))
        pair.say(pair.client)
        pair.agent.consumed(number, size)
        pair.say(pair.agent)
    assert windows == [1000, 2000, 4000, 4000]


def test_growth_has_a_budget() -> None:
    """3,000 for the first, 2,000 for the second, nothing for the third; a finished stream gives its share back."""
    pair = ConnectionPair(agent_limits=SMALL)
    streams = [pair.opened() for _ in range(3)]
    for number in streams:
        for _ in range(4):
            size = sendable(pair.client, number)
            pair.client.send(number, bytes(size))
            pair.say(pair.client)
            pair.agent.consumed(number, size)
            pair.say(pair.agent)
    assert [pair.agent.streams[number].window for number in streams] == [4000, 3000, 1000]
    pair.client.reset(streams[0], Reason.CANCELLED)
    pair.say(pair.client)
    size = sendable(pair.client, streams[2])
    pair.client.send(streams[2], bytes(size))
    pair.say(pair.client)
    pair.agent.consumed(streams[2], size)
    assert pair.agent.streams[streams[2]].window == 2000


def test_ended_stream_needs_no_credit() -> None:
    pair = ConnectionPair(agent_limits=SMALL)
    number = pair.opened()
    pair.client.send(number, bytes(1000))
    pair.client.end(number)
    pair.say(pair.client)
    pair.agent.consumed(number, 1000)
    assert not pair.agent.waiting


def test_more_than_received_is_a_bug(pair: ConnectionPair) -> None:
    number = pair.opened()
    with pytest.raises(LocalProtocolError, match="consumed more than received"):
        pair.agent.consumed(number, 1)


# --- control, pings, bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD - 8, MAX_PAYLOAD - 7, MAX_PAYLOAD, 3 * MAX_PAYLOAD])
@pytest.mark.parametrize("step", [0, 65_536])
def test_control_of_any_size(pair: ConnectionPair, size: int, step: int) -> None:
    pair.client.control({"a": "x" * size})
    assert messages(pair.say(pair.client, step)) == [{"a": "x" * size}]


def test_control_keeps_odd_bytes(pair: ConnectionPair) -> None:
    pair.agent.control({"environ": {"ODD": "caf\udce9 \udcff", "FINE": "käse 🧀", "QUOTED": 'a"\n\0'}})
    assert messages(pair.say(pair.agent)) == [
        {"environ": {"ODD": "caf\udce9 \udcff", "FINE": "käse 🧀", "QUOTED": 'a"\n\0'}}
    ]


def test_control_parts_pass_between_others() -> None:
    pair = ConnectionPair(agent_limits=SMALL)
    number = pair.opened()
    assert inject(pair.agent, Kind.CONTROL, 0, b'{"do":', Flag.MORE) == []
    assert bytes_of(inject(pair.agent, Kind.DATA, number, b"data")) == b"data"
    assert messages(inject(pair.agent, Kind.CONTROL, 0, b'"arm"}')) == [{"do": "arm"}]


def test_control_has_a_limit() -> None:
    pair = ConnectionPair(client_limits=SMALL, agent_limits=SMALL)
    with pytest.raises(LocalProtocolError, match="too long"):
        pair.client.control({"a": "x" * 200_000})
    part = b"x" * MAX_PAYLOAD
    for _ in range(3):
        inject(pair.agent, Kind.CONTROL, 0, part, Flag.MORE)
    with pytest.raises(RemoteProtocolError, match="CONTROL message too long"):
        inject(pair.agent, Kind.CONTROL, 0, part, Flag.MORE)


def test_target_has_a_limit(pair: ConnectionPair) -> None:
    with pytest.raises(LocalProtocolError, match="target too long"):
        pair.client.open({"host": "x" * 8192})


def test_pings_return(pair: ConnectionPair) -> None:
    pair.client.ping(b"timestmp")
    pair.say(pair.client)
    assert pair.say(pair.agent) == [PongReceived(b"timestmp")]


def test_ping_flood_is_bounded() -> None:
    pair = ConnectionPair(agent_limits=SMALL)

    def flood() -> None:
        for _ in range(1000):
            inject(pair.agent, Kind.PING, 0, bytes(8))

    with pytest.raises(RemoteProtocolError, match="faster than it reads"):
        flood()
    assert pair.agent.waiting < SMALL.answers + 200


def test_refusals_count_as_answers() -> None:
    """Whoever opens and never reads makes us queue a reset each time."""
    pair = ConnectionPair(agent_limits=SMALL)

    def flood() -> None:
        for number in range(1, 2001, 2):
            for event in inject(pair.agent, Kind.OPEN, number):
                assert isinstance(event, StreamOpened)
                pair.agent.reset(number, Reason.DENIED, "not intercepted")

    with pytest.raises(RemoteProtocolError, match="faster than it reads"):
        flood()
    assert pair.agent.waiting < SMALL.answers + 200


def test_read_answers_are_forgotten() -> None:
    pair = ConnectionPair(agent_limits=SMALL)
    for _ in range(2000):
        inject(pair.agent, Kind.PING, 0, bytes(8))
        pair.agent.take()


def test_streams_have_a_limit() -> None:
    pair = ConnectionPair(agent_limits=SMALL)
    numbers = [pair.client.open({}) for _ in range(4)]
    heard = pair.say(pair.client)
    assert [event.stream for event in heard if isinstance(event, StreamOpened)] == numbers[:3]
    assert pair.say(pair.agent) == [StreamReset(numbers[3], Reason.MEMORY, "3 streams are open")]
    pair.client.reset(numbers[0], Reason.CANCELLED)
    number = pair.client.open({})
    assert StreamOpened(number, {}) in pair.say(pair.client)


def test_finished_streams_are_forgotten(pair: ConnectionPair) -> None:
    for _ in range(500):
        number = pair.opened()
        pair.client.end(number)
        pair.agent.end(number)
        pair.settle()
    assert not pair.client.streams
    assert not pair.agent.streams


def test_long_reason_is_cut(pair: ConnectionPair) -> None:
    number = pair.opened()
    pair.agent.reset(number, Reason.BROKEN, "ü" * 5000)
    (event,) = pair.say(pair.agent)
    assert isinstance(event, StreamReset)
    assert event.text == "ü" * 512


def test_odd_text_is_told(pair: ConnectionPair) -> None:
    """A host name may hold what UTF-8 can't; telling that it does not resolve must not fail."""
    number = pair.opened()
    pair.agent.reset(number, Reason.NAME, "b\ud800d")
    assert pair.say(pair.agent) == [StreamReset(number, Reason.NAME, "b?d")]
