"""Tables of figures as JSON: what a session tells of the time before it, and the files of `routes --save` and `--compare`.

The format has a number: a file of a newer one is refused in words, and what an older reader does not know it passes over.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.mesh.sources.model import INBOUND, OUTBOUND, Route, Table

FORMAT = "interceptor-routes"
VERSION = 1
LARGEST = 64 * 1024 * 1024  # bytes of a file that is read
_COUNTS = ("actual_success", "actual_failure", "request_bytes", "response_bytes", "timeouts", "retries")
_TIMES = ("p50", "p95", "p99")


@dataclass(frozen=True)
class Saved:
    """What stands in a file."""

    table: Table
    direction: str
    at: str  # when it was saved, ISO 8601


def table_to_json(table: Table) -> dict[str, Any]:
    """The reverse of `table_from_json`."""
    return {
        "workload": table.title,
        "source": table.source,
        "seconds": table.seconds,
        "notes": list(table.notes),
        "routes": [_route_to_json(route) for route in table.routes],
    }


def table_from_json(value: Any) -> Table:
    """Raises KeyError, TypeError or ValueError where it is none."""
    routes = [_route_from_json(one) for one in value["routes"]]
    seconds = float(value["seconds"])
    if not 0 < seconds < math.inf:
        raise ValueError("it spans no time")
    return Table(str(value["workload"]), str(value["source"]), seconds, routes, [str(note) for note in value["notes"]])


def save(path: Path, table: Table, *, outbound: bool) -> None:
    """Write a file, whole or not at all. Raises InterceptorError."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "direction": OUTBOUND if outbound else INBOUND,
        **table_to_json(table),
    }
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        beside.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise InterceptorError(f"can't write {path}: {error.strerror}") from error


def load(path: Path) -> Saved:
    """Read a file that `save` wrote. Raises InterceptorError, in one line."""
    hint = "a file for --compare is written by `interceptor routes TARGET --save FILE`"
    try:
        if path.stat().st_size > LARGEST:
            raise InterceptorError(f"{path} is too large to be figures of routes", hint=hint)
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InterceptorError(f"can't read {path}: {error.strerror}", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise InterceptorError(f"{path} is not JSON: {str(error).splitlines()[0]}", hint=hint) from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InterceptorError(f"{path} holds no figures of routes", hint=hint)
    version = value.get("version")
    if version != VERSION:
        wanted = f"{path} has version {version} of the format, this program knows {VERSION}"
        raise InterceptorError(wanted, hint="save it again with this program")
    try:
        direction = str(value["direction"])
        if direction not in (INBOUND, OUTBOUND):
            raise ValueError(f"no direction: {direction}")
        return Saved(table_from_json(value), direction, str(value["saved"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InterceptorError(f"{path} is damaged: {why}", hint=hint) from error


def _route_to_json(route: Route) -> dict[str, Any]:
    return {
        "route": route.route,
        "service": route.service,
        "kind": route.kind,
        "success": route.success,
        "failure": route.failure,
        **{name: getattr(route, name) for name in (*_COUNTS, *_TIMES)},
        "statuses": route.statuses,
        "latencies": [["+Inf" if bound == math.inf else bound, count] for bound, count in route.latencies.items()],
    }


def _route_from_json(value: Any) -> Route:
    route = Route(
        str(value["route"]),
        str(value["service"]),
        str(value["kind"]),
        _count(value["success"]),
        _count(value["failure"]),
    )
    for name in _COUNTS:
        setattr(route, name, None if value.get(name) is None else _count(value[name]))
    for name in _TIMES:
        setattr(route, name, None if value.get(name) is None else _number(value[name]))
    route.statuses = {str(status): _count(count) for status, count in value["statuses"].items()}
    route.latencies = {
        math.inf if bound == "+Inf" else _number(bound): _number(count) for bound, count in value["latencies"]
    }
    return route


def _count(value: Any) -> int:
    return int(_number(value))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is no count")
    return value
