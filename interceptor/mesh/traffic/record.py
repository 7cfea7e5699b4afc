"""One exchange as JSON: what `tap` gets over the control socket, prints with `-o json` and writes with `--record`."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any, Protocol

from interceptor.http.exchange import Exchange, Pairs
from interceptor.mesh.traffic.masking import masked_header, masked_path
from interceptor.mesh.traffic.tracing import trace_of

Record = dict[str, Any]

INBOUND, OUTBOUND = "inbound", "outbound"
OPEN, ENDED = "open", "ended"

# gRPC's codes that mean the server failed: the choice of Linkerd's proxy.
GRPC_FAILURES = frozenset({2, 4, 7, 13, 14, 15})


class Where(Protocol):
    """The connection that an exchange passed on."""

    @property
    def direction(self) -> str:
        """INBOUND: towards the local process; OUTBOUND: from it."""

    @property
    def pod(self) -> str:
        """The agent's pod."""

    @property
    def peer(self) -> str:
        """Inbound: the caller's address; outbound: the target, as the local process named it."""

    @property
    def port(self) -> int:
        """The pod's port, or the target's."""


def failed(exchange: Exchange) -> bool:
    """Whether it counts as a failure, as Linkerd counts: 5xx, gRPC's own errors, and what came to no end."""
    if exchange.cancelled or exchange.status >= 500 or (not exchange.status and not exchange.unreadable):
        return True
    return exchange.grpc_status in GRPC_FAILURES


def record_of(exchange: Exchange, where: Where, number: int, wall: float, *, stage: str, secrets: bool) -> Record:
    """Everything of an exchange. `wall` is what to add to its times to get the time of day (seconds since 1970)."""
    record: Record = {
        "id": number,
        "stage": stage,
        "time": datetime.fromtimestamp(wall + exchange.began, UTC).isoformat(timespec="microseconds"),
        "direction": where.direction,
        "pod": where.pod,
        "port": where.port,
        "peer": where.peer,
        "caller_id": _caller_id(exchange.request_headers) if where.direction == INBOUND else "",
        "protocol": exchange.protocol,
        "method": exchange.method,
        "authority": exchange.authority,
        "path": exchange.path if secrets else masked_path(exchange.path),
        "status": exchange.status,
        "failed": stage == ENDED and failed(exchange),
        "latency_ms": _ms(exchange.began, exchange.answered),
        "duration_ms": _ms(exchange.began, exchange.ended),
        "request_size": exchange.request_size,
        "response_size": exchange.response_size,
        "request_headers": _headers(exchange.request_headers, secrets),
        "response_headers": _headers(exchange.response_headers, secrets),
    }
    for name, value in (
        ("trace_id", trace_of(exchange.request_headers)),
        ("request_trailers", _headers(exchange.request_trailers, secrets)),
        ("response_trailers", _headers(exchange.response_trailers, secrets)),
        ("interim", list(exchange.interim)),
        ("upgrade", exchange.upgrade),
        ("cancelled", exchange.cancelled),
        ("reset_code", exchange.reset_code),
        ("pushed", exchange.pushed),
        ("ambiguities", list(exchange.ambiguities)),
        ("unreadable", exchange.unreadable),
        ("request_body", _body(exchange.request_body)),
        ("response_body", _body(exchange.response_body)),
    ):
        if value not in (None, "", [], False):
            record[name] = value
    if exchange.grpc:
        record["grpc_status"] = exchange.grpc_status
        record["grpc_message"] = exchange.grpc_message
        record["request_messages"] = exchange.request_messages
        record["response_messages"] = exchange.response_messages
    return record


def _caller_id(pairs: Pairs) -> str:
    """Who called, as the mesh proxy beside us proved it: behind a proxy every caller has the pod's own address."""
    for name, value in pairs:
        if name == "l5d-client-id":
            return value
        if name == "x-forwarded-client-cert" and "URI=" in value:
            return value.rpartition("URI=")[2].split(";")[0].split(",")[0]
    return ""


def _ms(began: float, end: float | None) -> float | None:
    return None if end is None else round((end - began) * 1000, 3)


def _headers(pairs: Pairs, secrets: bool) -> list[list[str]]:
    return [[name, value if secrets else masked_header(name, value)] for name, value in pairs if name[:1] != ":"]


def _body(kept: bytearray | None) -> str | None:
    return None if kept is None else base64.b64encode(kept).decode()
