"""What every source gives: a table of routes, with its own name and what one must know about it; `cli.routes` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

DEFAULT = "[DEFAULT]"  # Linkerd's word for requests that belong to no route

INBOUND, OUTBOUND = "inbound", "outbound"


@dataclass(frozen=True)
class Query:
    """What is asked. `to` is a service (`books` or `books.shop`) whose callers' side is wanted: outbound then.

    `outward` without `to` is what the workload asks of any service.
    """

    namespace: str
    kind: str  # Deployment, ...
    name: str
    window: float  # seconds
    to: str = ""
    outward: bool = False

    @property
    def direction(self) -> str:
        """As the proxies name it."""
        return OUTBOUND if self.to or self.outward else INBOUND

    @property
    def title(self) -> str:
        """As people type it."""
        return f"{_SHORT.get(self.kind, self.kind.lower())}/{self.name}"

    def is_wanted(self, service: str) -> bool:
        """Whether an authority (`books.shop.svc.cluster.local:80`, `books:80`) is the wanted service's."""
        if not self.to:
            return True
        host = service.partition(":")[0].split(".")
        name, _, namespace = self.to.removeprefix("svc/").partition(".")
        return host[0] == name and (len(host) < 2 or host[1] == (namespace or self.namespace))


_SHORT = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds", "ReplicaSet": "rs", "Pod": "po"}


@dataclass
class Route:
    """Figures of one route. What a source can't know is None.

    Outbound, success and failure are effective: as the caller saw them, after retries. Actual ones count every attempt.
    """

    route: str
    service: str = ""
    kind: str = ""  # ServiceProfile, HTTPRoute, GRPCRoute, path, default
    success: int = 0
    failure: int = 0
    actual_success: int | None = None
    actual_failure: int | None = None
    p50: float | None = None  # milliseconds
    p95: float | None = None
    p99: float | None = None
    request_bytes: int | None = None
    response_bytes: int | None = None
    timeouts: int | None = None
    retries: int | None = None
    statuses: dict[str, int] = field(default_factory=dict)
    latencies: dict[float, float] = field(default_factory=dict)  # answers by their bucket's upper bound in milliseconds

    @property
    def total(self) -> int:
        """All that came to an end."""
        return self.success + self.failure

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1; None without a request."""
        return self.success / self.total if self.total else None

    @property
    def actual_rate(self) -> float | None:
        """The same of all attempts."""
        if self.actual_success is None or self.actual_failure is None:
            return None
        total = self.actual_success + self.actual_failure
        return self.actual_success / total if total else None


@dataclass
class Table:
    """All routes of one workload."""

    title: str
    source: str  # where it is from, in words
    seconds: float  # that the counts span
    routes: list[Route]
    notes: Sequence[str] = ()
    connections: int | None = None
    whole: Route | None = None  # all routes together, as the source itself counts them
    before: Table | None = None  # what the cluster had before the swap, where the source is a session
    no_before: str = ""  # why there is none


AGAIN = 5.0  # seconds from one look to the next, where a source answers at once and the window is longer


class NoFigures(Exception):
    """A source has nothing on this workload; the text says why, for the person who wonders which one was used.

    `unknown` says that there may be figures, but they could not be had: no right, no answer.
    """

    def __init__(self, reason: str, *, unknown: bool = False) -> None:
        super().__init__(reason)
        self.unknown = unknown


class Source(Protocol):
    """One place to ask."""

    @property
    def name(self) -> str:
        """How it is called in the output and by --source."""

    async def routes(self, query: Query) -> Table:
        """Ask; takes up to the window. Raises NoFigures."""
