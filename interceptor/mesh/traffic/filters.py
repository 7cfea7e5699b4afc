"""Which requests somebody wants to see: typed as options of `tap`, sent to the intercepting client, asked there for each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from interceptor.errors import UsageError
from interceptor.http.exchange import Exchange
from interceptor.mesh.traffic.record import failed
from interceptor.mesh.traffic.tracing import trace_of

_STATUS = re.compile(r"([1-5])xx|([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?", re.IGNORECASE)


@dataclass(frozen=True)
class Filter:
    """Everything given must hold; of several values for one thing, one."""

    methods: Sequence[str] = ()
    paths: Sequence[str] = ()  # a beginning, or a pattern with *
    statuses: Sequence[str] = ()  # 404, 5xx, 500-503, error
    headers: Sequence[Sequence[str]] = ()  # of the request: name, and a pattern for its value
    min_latency: float = 0.0  # seconds
    direction: str = ""
    traces: Sequence[str] = ()  # beginnings of trace ids
    _ranges: list[tuple[int, int]] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        """Read the statuses once. Raises UsageError."""
        self._ranges.extend(_range(text) for text in self.statuses if text != "error")

    def begun(self, exchange: Exchange) -> bool:
        """Whether its request is one of those wanted."""
        if self.methods and exchange.method.upper() not in self.methods:
            return False
        if self.paths and not any(_path_matches(exchange.path, pattern) for pattern in self.paths):
            return False
        if self.traces and not trace_of(exchange.request_headers).startswith(tuple(self.traces)):
            return False
        if not self.headers:
            return True
        found = exchange.request_headers
        return all(
            any(name == key and fnmatchcase(value, wanted) for key, value in found) for name, wanted in self.headers
        )

    def ended(self, exchange: Exchange) -> bool:
        """Whether its outcome is, too."""
        if self.statuses and not (
            any(low <= exchange.status <= high for low, high in self._ranges)
            or ("error" in self.statuses and failed(exchange))
        ):
            return False
        if self.min_latency:
            latency = exchange.latency
            if latency is None and exchange.ended is not None:
                latency = exchange.ended - exchange.began
            return latency is not None and latency >= self.min_latency
        return True

    @property
    def wants_open(self) -> bool:
        """Whether a request without an outcome yet can be wanted."""
        return not self.statuses

    def to_json(self) -> dict[str, Any]:
        """For the control socket."""
        return {
            "methods": list(self.methods),
            "paths": list(self.paths),
            "statuses": list(self.statuses),
            "headers": [list(header) for header in self.headers],
            "min_latency": self.min_latency,
            "direction": self.direction,
            "traces": list(self.traces),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Filter:
        """The reverse. Raises UsageError for what can't be meant."""
        try:
            return cls(
                methods=tuple(str(method).upper() for method in value.get("methods", ())),
                paths=tuple(map(str, value.get("paths", ()))),
                statuses=tuple(map(str, value.get("statuses", ()))),
                headers=tuple((str(name).lower(), str(wanted)) for name, wanted in value.get("headers", ())),
                min_latency=float(value.get("min_latency", 0.0)),
                direction=str(value.get("direction", "")),
                traces=tuple(map(str, value.get("traces", ()))),
            )
        except (TypeError, ValueError) as error:
            raise UsageError(f"not a filter: {error}") from error


def _range(text: str) -> tuple[int, int]:
    match = _STATUS.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a status", hint="type 404, 5xx, 500-503 or error")
    if match[1]:
        return int(match[1]) * 100, int(match[1]) * 100 + 99
    return int(match[2]), int(match[3] or match[2])


def _path_matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) if "*" in pattern else path.startswith(pattern)
