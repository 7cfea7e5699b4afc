"""Two connections back to back: each test of one end also tests the other."""

from __future__ import annotations

from collections.abc import Iterable

from interceptor.wire.connection import Connection, Role
from interceptor.wire.events import ControlReceived, DataReceived, Event
from interceptor.wire.frames import MAX_PAYLOAD, frame
from interceptor.wire.limits import Limits


def bytes_of(events: Iterable[Event], stream: int | None = None) -> bytes:
    return b"".join(
        event.data for event in events if isinstance(event, DataReceived) and stream in (None, event.stream)
    )


class ConnectionPair:
    """A client and an agent; `say` carries what one has queued to the other and returns what that heard."""

    def __init__(
        self,
        *,
        greeted: bool = True,
        client_limits: Limits = Limits(),  # noqa: B008  immutable
        agent_limits: Limits = Limits(),  # noqa: B008  immutable
    ) -> None:
        self.client = Connection(Role.CLIENT, "orders-x7f2q", limits=client_limits)
        self.agent = Connection(Role.AGENT, "orders-x7f2q", limits=agent_limits)
        if greeted:
            self.say(self.client)
            self.say(self.agent)

    def peer(self, of: Connection) -> Connection:
        return self.agent if of is self.client else self.client

    def say(self, speaker: Connection, step: int = 0) -> list[Event]:
        """In pieces of `step` bytes; 0 is all at once. Views are copied, as they live no longer than a piece."""
        return hear(self.peer(speaker), bytes(speaker.take()), step)

    def settle(self) -> dict[Connection, list[Event]]:
        """Carry both ways until neither has anything to say."""
        heard: dict[Connection, list[Event]] = {self.client: [], self.agent: []}
        while self.client.waiting or self.agent.waiting:
            for speaker in (self.client, self.agent):
                heard[self.peer(speaker)] += self.say(speaker)
        return heard

    def opened(self, target: dict[str, object] | None = None) -> int:
        """A stream that the client opened and the agent accepted."""
        number = self.client.open(target or {"host": "db", "port": 5432})
        self.say(self.client)
        self.agent.accept(number)
        self.say(self.agent)
        return number


def sendable(end: Connection, number: int) -> int:
    """How many bytes one DATA frame of a stream may carry now; a relay asks the stream itself."""
    stream = end.streams.get(number)
    return min(stream.credit, MAX_PAYLOAD) if stream is not None and stream.sends_data else 0


def hear(listener: Connection, data: bytes, step: int = 0) -> list[Event]:
    events: list[Event] = []
    for start in range(0, len(data), step or max(1, len(data))):
        for event in listener.receive(memoryview(data[start : start + (step or len(data))])):
            copied = (
                DataReceived(event.stream, memoryview(bytes(event.data))) if isinstance(event, DataReceived) else event
            )
            events.append(copied)
    return events


def inject(listener: Connection, kind: int, stream: int = 0, payload: bytes = b"", flags: int = 0) -> list[Event]:
    """What a peer sends that does not keep to our own verbs."""
    return hear(listener, frame(kind, stream, payload, flags))


def messages(events: Iterable[Event]) -> list[dict[str, object]]:
    return [event.message for event in events if isinstance(event, ControlReceived)]
