"""The messages of Linkerd viz's tap API: what is asked, and the events that are answered; `session.viztap` uses them.

Numbers: viz/tap/proto/viz_tap.proto, viz/metrics-api/proto/viz.proto and proto/common/net.proto of linkerd2, unchanged
since viz is an extension. Each message of the answer has its length before it, four bytes, the least first. An error is
an ApiError in an event's place: its only field has the number of an event's source, but every event has a destination's
labels, too.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from interceptor.http.exchange import Pairs
from interceptor.mesh.traffic.record import INBOUND, OUTBOUND
from interceptor.mesh.viztap import protobuf
from interceptor.mesh.viztap.protobuf import FIXED32, FIXED64, Fields, Malformed

LARGEST = 1024 * 1024  # of one message: a proxy takes heads of 64 KiB
_LENGTH = struct.Struct("<I")
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "HEAD", "TRACE")
_SCHEMES = ("http", "https")
_DIRECTIONS = {1: INBOUND, 2: OUTBOUND}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side of a connection, and what the mesh knows of it: pod, deployment, namespace, tls, client_id, ..."""

    host: str = ""
    port: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestInit:
    """The head of a request. A proxy leaves the query out of `path`; with HTTP/2 it is in the header `:path`."""

    method: str
    scheme: str
    authority: str
    path: str
    headers: Pairs


@dataclass(frozen=True, slots=True)
class ResponseInit:
    """The head of an answer; `since_request` in seconds."""

    since_request: float
    status: int
    headers: Pairs


@dataclass(frozen=True, slots=True)
class ResponseEnd:
    """The end of an answer, or of the wait for one: then `since_response` is None."""

    since_request: float
    since_response: float | None
    size: int
    grpc_status: int | None
    reset_code: int | None
    trailers: Pairs


@dataclass(frozen=True, slots=True)
class TapEvent:
    """One thing that a proxy saw. `base` counts its taps, `stream` the requests of one tap."""

    source: Endpoint
    destination: Endpoint
    direction: str
    route: Mapping[str, str]
    base: int
    stream: int
    what: RequestInit | ResponseInit | ResponseEnd | None


@dataclass(frozen=True, slots=True)
class TapError:
    """What the tap API says instead of an event."""

    text: str


def tap_request(namespace: str, kind: str, name: str, *, method: str, path: str, rps: float) -> bytes:
    """Ask for a workload's requests, with their headers; `path` is a beginning, "" means any."""
    resource = protobuf.field(1, namespace) + protobuf.field(2, kind) + protobuf.field(3, name)
    matches = [(2, method)] if method else []
    matches += [(4, path)] if path else []
    # The server takes a list of which all must hold, and nothing nested; it refuses a request without the list.
    every = b"".join(protobuf.field(1, protobuf.field(5, protobuf.field(number, text))) for number, text in matches)
    headers = protobuf.field(1, protobuf.field(1, b""))
    return (
        protobuf.field(1, protobuf.field(1, resource))
        + protobuf.field(2, protobuf.field(1, every))
        + protobuf.float_field(3, rps)
        + protobuf.field(4, headers)
    )


class Frames:
    """Cuts what is received into messages. Raises Malformed."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What is whole by now."""
        held = self._held
        held += data
        at = 0
        try:
            while len(held) - at >= _LENGTH.size:
                (size,) = _LENGTH.unpack_from(held, at)
                if size > LARGEST:
                    raise Malformed(f"a message of {size} bytes")
                end = at + _LENGTH.size + size
                if len(held) < end:
                    return
                yield bytes(held[at + _LENGTH.size : end])
                at = end
        finally:
            del held[:at]


def read(data: bytes) -> TapEvent | TapError:
    """One message of the answer. Raises Malformed."""
    fields = Fields(data)
    if fields.numbers == {1}:
        return TapError(fields.text(1))
    base, stream, what = _http(fields.message(3))
    return TapEvent(
        _endpoint(fields.message(1), fields.message(5)),
        _endpoint(fields.message(2), fields.message(4)),
        _DIRECTIONS.get(fields.number(6) or 0, ""),
        _labels(fields.message(7)),
        base,
        stream,
        what,
    )


def _http(fields: Fields | None) -> tuple[int, int, RequestInit | ResponseInit | ResponseEnd | None]:
    if fields is None:
        return 0, 0, None
    what: RequestInit | ResponseInit | ResponseEnd
    if (found := fields.message(1)) is not None:
        method = _registered(found.message(2), _METHODS)
        scheme = _registered(found.message(3), _SCHEMES)
        what = RequestInit(method, scheme, found.text(4), found.text(5), _headers(found.message(6)))
    elif (found := fields.message(2)) is not None:
        what = ResponseInit(_seconds(found.message(2)) or 0.0, found.number(3) or 0, _headers(found.message(4)))
    elif (found := fields.message(3)) is not None:
        end = found.message(5)
        what = ResponseEnd(
            _seconds(found.message(2)) or 0.0,
            _seconds(found.message(3)),
            found.number(4) or 0,
            end.number(1) if end is not None else None,
            end.number(2) if end is not None else None,
            _headers(found.message(6)),
        )
    else:
        return 0, 0, None
    at = found.message(1)
    return (at.number(1) or 0, at.number(2) or 0, what) if at is not None else (0, 0, what)


def _endpoint(address: Fields | None, meta: Fields | None) -> Endpoint:
    host, port = "", 0
    if address is not None:
        port = address.number(2) or 0
        ip = address.message(1)
        if ip is not None:
            number, six = ip.number(1, FIXED32), ip.message(2)
            if number is not None:
                host = str(ipaddress.IPv4Address(number))
            elif six is not None:
                high, low = six.number(1, FIXED64) or 0, six.number(2, FIXED64) or 0
                host = str(ipaddress.IPv6Address(high << 64 | low))
    return Endpoint(host, port, _labels(meta))


def _labels(meta: Fields | None) -> dict[str, str]:
    entries = map(Fields, meta.pieces(1)) if meta is not None else ()
    return {entry.text(1): entry.text(2) for entry in entries}


def _headers(fields: Fields | None) -> Pairs:
    """As an exchange has them: bytes that are no UTF-8 one by one as characters."""
    found = []
    for header in map(Fields, fields.pieces(1) if fields is not None else ()):
        raw = header.pieces(3)
        found.append((header.text(1).lower(), raw[-1].decode("latin-1") if raw else header.text(2)))
    return found


def _registered(fields: Fields | None, names: tuple[str, ...]) -> str:
    if fields is None:
        return ""
    number = fields.number(1)
    if number is None:
        return fields.text(2)
    return names[number] if number < len(names) else str(number)


def _seconds(fields: Fields | None) -> float | None:
    """A Duration; one below zero, which has the highest bit, can't be meant."""
    if fields is None:
        return None
    whole, nanos = fields.number(1) or 0, fields.number(2) or 0
    return whole + nanos / 1e9 if max(whole, nanos) < 1 << 63 else 0.0
