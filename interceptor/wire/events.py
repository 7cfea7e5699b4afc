"""What `Connection.receive` yields: nouns for what the peer did; `tunnel.mux` acts on them."""

from __future__ import annotations

from typing import Any, NamedTuple, Union

from interceptor.wire.reasons import Reason


class HelloReceived(NamedTuple):
    """The peer's greeting; from here on streams may be opened."""

    session: str
    version: int
    features: frozenset[str]


class StreamOpened(NamedTuple):
    """The peer asks to connect `target`; answer with accept or reset."""

    stream: int
    target: dict[str, Any]


class StreamAccepted(NamedTuple):
    """The far end of a stream of ours is connected."""

    stream: int
    info: dict[str, Any]


class DataReceived(NamedTuple):
    """Part of a stream's bytes: a view of the buffer given to `receive`, valid until that buffer is used again."""

    stream: int
    data: memoryview


class Credited(NamedTuple):
    """A stream may send again."""

    stream: int


class StreamEnded(NamedTuple):
    """The peer will send no more on this stream (half-close)."""

    stream: int


class StreamReset(NamedTuple):
    """The stream is over in both directions."""

    stream: int
    reason: Reason
    text: str


class PongReceived(NamedTuple):
    """The answer to our ping, with its 8 bytes."""

    payload: bytes


class ControlReceived(NamedTuple):
    """A message beside the streams: one JSON object."""

    message: dict[str, Any]


class Closed(NamedTuple):
    """The peer ended the connection and said why."""

    reason: Reason
    text: str


Event = Union[  # noqa: UP007  `X | Y` of NamedTuple classes is no valid alias value on Python 3.10
    HelloReceived,
    StreamOpened,
    StreamAccepted,
    DataReceived,
    Credited,
    StreamEnded,
    StreamReset,
    PongReceived,
    ControlReceived,
    Closed,
]
