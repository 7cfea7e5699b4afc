"""Makes one record of the three events that Linkerd's tap sends of a request; `session.viztap` feeds it. Pure.

A request's events are known by the connection, the tap's number in its proxy, and the request's in the tap. They say how
long ago the request began, not when: it began when its first event came. A proxy that has no room left for an event
leaves it out, so any of the three may be missing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from urllib.parse import unquote

from interceptor.http.exchange import Exchange, Pairs, value_of
from interceptor.mesh.callers import Caller, caller_labelled
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.hub import LONG
from interceptor.mesh.traffic.record import ENDED, INBOUND, OPEN, Record, record_of
from interceptor.mesh.viztap.messages import RequestInit, ResponseEnd, ResponseInit, TapEvent

SOURCE = "linkerd-viz"
MOST_UNDER_WAY = 10_000
LOST_HEAD = "Linkerd's tap left its answer's head out"
BROKE_OFF = "Linkerd's tap broke off"
_BODILESS = frozenset({"GET", "HEAD"})

_Key = tuple[str, str, int, str, int, int, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """See `record.Where`."""

    direction: str
    pod: str
    peer: str
    port: int


@dataclass(slots=True)
class _UnderWay:
    exchange: Exchange
    place: _Place
    caller: Caller | None
    size: int | None  # of the request's body, where its head says it
    extra: Record
    shown: bool = False


class Joined:
    """Of one tap. Times are a clock's; `wall` is what to add to it to get the time of day."""

    def __init__(self, wanted: Filter, wall: float, *, secrets: bool = False) -> None:
        self._wanted = wanted
        self._wall = wall
        self._secrets = secrets
        self._under_way: dict[_Key, _UnderWay] = {}
        self._number = 0
        self.forgotten = 0  # requests that stayed open, more of them than there is room for

    def event(self, event: TapEvent, now: float) -> Record | None:
        """Take one event; returns the record of a request that it ends."""
        what = event.what
        ends = event.source.host, event.source.port, event.destination.host, event.destination.port
        key = (event.direction, *ends, event.base, event.stream)
        if isinstance(what, RequestInit):
            self._begin(key, event, what, now)
            return None
        found = self._under_way.get(key)
        if found is None:  # it began before we did, or its first event was left out
            return None
        exchange = found.exchange
        if isinstance(what, ResponseInit):
            exchange.status = what.status
            exchange.answered = exchange.began + what.since_request
            exchange.response_fields = what.headers
        elif isinstance(what, ResponseEnd):
            del self._under_way[key]
            _end(exchange, what)
            return self._ended(found)
        return None

    def long_open(self, now: float) -> list[Record]:
        """Those without an end for LONG, each once."""
        if not self._wanted.wants_open:
            return []
        records = []
        for one in self._under_way.values():
            if one.exchange.began > now - LONG:
                break  # they stand in the order they began
            if not one.shown and self._begun(one):
                one.shown = True
                records.append(self._record(one, 0, OPEN))
        return records

    def break_off(self, now: float) -> list[Record]:
        """No end will come for what is under way."""
        records = []
        for one in self._under_way.values():
            one.exchange.unreadable = BROKE_OFF
            one.exchange.ended = now
            record = self._ended(one)
            if record is not None:
                records.append(record)
        self._under_way.clear()
        return records

    def _begin(self, key: _Key, event: TapEvent, what: RequestInit, now: float) -> None:
        if len(self._under_way) >= MOST_UNDER_WAY:
            del self._under_way[next(iter(self._under_way))]
            self.forgotten += 1
        self._under_way[key] = _UnderWay(
            _exchange(what, now), _place(event), _caller(event), _body_size(what), _extra(event)
        )

    def _begun(self, one: _UnderWay) -> bool:
        wanted = self._wanted
        return wanted.direction in ("", one.place.direction) and wanted.begun(one.exchange)

    def _ended(self, one: _UnderWay) -> Record | None:
        self._number += 1
        if not self._begun(one) or not self._wanted.ended(one.exchange):
            return None
        return self._record(one, self._number, ENDED)

    def _record(self, one: _UnderWay, number: int, stage: str) -> Record:
        record = record_of(one.exchange, one.place, number, self._wall, stage=stage, secrets=self._secrets)
        record["request_size"] = one.size
        if one.exchange.grpc:  # nobody counted them
            record["request_messages"] = record["response_messages"] = None
        if one.caller is not None and one.place.direction == INBOUND:
            caller = one.caller
            record["caller"] = {"pod": caller.pod, "namespace": caller.namespace, "workload": caller.workload}
        return record | one.extra | {"caller_id": record["caller_id"] or one.extra.get("caller_id", "")}


class Limit:
    """Tells when a proxy has shown as many requests as its tap may in a second: what came then, nobody saw."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self._newest: dict[str, deque[float]] = {}

    def reached(self, pod: str, now: float) -> bool:
        """A pod has shown one more request; whether it will show no other for the rest of the second."""
        newest = self._newest.setdefault(pod, deque(maxlen=self.per_second))
        newest.append(now)
        return len(newest) == self.per_second and now - newest[0] < 1.0


def _exchange(what: RequestInit, now: float) -> Exchange:
    exchange = Exchange()
    exchange.began = now
    exchange.method, exchange.scheme, exchange.authority = what.method, what.scheme, what.authority
    exchange.path = value_of(what.headers, ":path") or what.path  # with its query, where that is told
    exchange.protocol = _protocol(what.headers)
    exchange.request_fields = what.headers
    exchange.grpc = value_of(what.headers, "content-type").startswith("application/grpc")
    return exchange


def _protocol(headers: Pairs) -> str:
    """As the proxy spoke it; a caller's proxy may have made HTTP/2 of HTTP/1."""
    if not headers:
        return "HTTP"
    return "HTTP/2" if any(name[:1] == ":" for name, _ in headers) else "HTTP/1.1"


def _body_size(what: RequestInit) -> int | None:
    length = value_of(what.headers, "content-length")
    if length.isascii() and length.isdigit():
        return int(length)
    if what.headers and not value_of(what.headers, "transfer-encoding"):
        return 0 if what.method in _BODILESS or _protocol(what.headers) == "HTTP/1.1" else None
    return None


def _end(exchange: Exchange, what: ResponseEnd) -> None:
    exchange.ended = exchange.began + what.since_request
    exchange.response_size = what.size
    exchange.response_trailer_fields = what.trailers
    if exchange.answered is None and what.since_response is not None:
        exchange.answered = exchange.ended - what.since_response
        exchange.unreadable = LOST_HEAD
    if what.grpc_status is not None:
        exchange.grpc, exchange.grpc_status = True, what.grpc_status
        fields = what.trailers or exchange.response_fields
        exchange.grpc_message = unquote(value_of(fields, "grpc-message"))
    if what.reset_code is not None:
        exchange.cancelled, exchange.reset_code = "a reset", what.reset_code


def _place(event: TapEvent) -> _Place:
    """Where it was seen. The peer is the other side: with its port the caller's, without it whom the workload asks."""
    ours, other = event.source, event.destination
    if event.direction == INBOUND:
        ours, other = other, ours
    host = f"[{other.host}]" if ":" in other.host else other.host
    peer = f"{host}:{other.port}" if event.direction == INBOUND else other.host
    return _Place(event.direction, ours.labels.get("pod", ""), peer, event.destination.port)


def _caller(event: TapEvent) -> Caller | None:
    return caller_labelled(event.source.labels) if event.direction == INBOUND else None


def _extra(event: TapEvent) -> Record:
    """What Linkerd knows besides."""
    other = event.source if event.direction == INBOUND else event.destination
    extra: Record = {"source": SOURCE, "tls": other.labels.get("tls") == "true"}
    if event.direction == INBOUND and other.labels.get("client_id"):
        extra["caller_id"] = other.labels["client_id"]
    if event.route.get("route"):
        extra["route"] = event.route["route"]
    return extra
