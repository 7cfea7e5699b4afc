"""How figures by route look: Linkerd's columns and words, which its users and scripts know. Pure; `cli.routes` prints.

With a baseline each route has two lines, now and then, and a last column says what differs beyond noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interceptor.cli.tap_lines import bytes_text
from interceptor.mesh.sources.compare import Pair, compare
from interceptor.mesh.sources.model import Route, Table

GAP = "   "
_HEAD = ("ROUTE", "SERVICE")
_INBOUND = ("SUCCESS", "RPS")
_EFFECTIVE = ("EFFECTIVE_SUCCESS", "EFFECTIVE_RPS", "ACTUAL_SUCCESS", "ACTUAL_RPS")
_LATENCY = ("LATENCY_P50", "LATENCY_P95", "LATENCY_P99")
_MORE = ("READ_BYTES/SEC", "WRITE_BYTES/SEC")
_POLICY = ("TIMEOUTS", "RETRIES")
_WHERE, _DIFFERS = "WHERE", "DIFFERENCE"


@dataclass(frozen=True)
class Baseline:
    """What figures are shown beside."""

    table: Table
    now: str  # WHERE of what is measured now
    then: str  # and of the baseline
    words: str  # where it is from


def text_table(
    table: Table, *, outbound: bool, wide: bool, baseline: Baseline | None = None
) -> list[tuple[str, float | None]]:
    """The lines, each with its success rate (None for those that are no route of now)."""
    split = outbound and wide
    titles = [*(_EFFECTIVE if split else _INBOUND), *_LATENCY]
    if wide:
        titles += [*_MORE, *(_POLICY if outbound else ())]
    if baseline is None:
        titles = [*_HEAD, *titles]
        routes = sorted(table.routes, key=lambda route: (route.service, route.route))
        rows = [(_cells(route, table.seconds, outbound=outbound, wide=wide), route.success_rate) for route in routes]
    else:
        titles = [*_HEAD, _WHERE, *titles, _DIFFERS]
        rows = []
        for pair in compare(table, baseline.table, outbound=outbound):
            rows += _pair_cells(pair, table, baseline, outbound=outbound, wide=wide)
    widths = [max(len(row[column]) for row in [titles, *(cells for cells, _ in rows)]) for column in range(len(titles))]
    left = frozenset({0}) if baseline is None else frozenset({0, len(_HEAD), len(titles) - 1})
    return [(line(titles, widths, left), None), *((line(cells, widths, left), rate) for cells, rate in rows)]


def _pair_cells(
    pair: Pair, table: Table, baseline: Baseline, *, outbound: bool, wide: bool
) -> list[tuple[list[str], float | None]]:
    """A line for each side that has the route; the name stands in the first."""
    rows: list[tuple[list[str], float | None]] = []
    for route, where, seconds in (
        (pair.now, baseline.now, table.seconds),
        (pair.before, baseline.then, baseline.table.seconds),
    ):
        if route is not None:
            _, _, *cells = _cells(route, seconds, outbound=outbound, wide=wide)
            service, name = pair.key
            first = [name, service or "-"] if not rows else ["", ""]
            words = pair.words if not rows else ""
            rows.append(([*first, where, *cells, words], route.success_rate if route is pair.now else None))
    return rows


def footer(table: Table, baseline: Baseline | None = None) -> list[str]:
    """Where the figures are from, and what one must know about them."""
    connections = "" if table.connections is None else f", {table.connections} connections open"
    source = f"{table.source}, {table.seconds:.0f} s{connections}"
    notes = [f"note: {note}" for note in table.notes]
    if baseline is not None:
        then = f"{baseline.then}: {baseline.words}, {baseline.table.seconds:.0f} s"
        return [f"{baseline.now}: {source}", then, *notes, *(f"note: {note}" for note in baseline.table.notes)]
    if table.no_before:
        notes.append(f"note: no figures of the cluster from before the swap: {table.no_before}")
    return [f"from {source}", *notes]


def json_rows(table: Table, *, outbound: bool, baseline: Baseline | None = None) -> dict[str, list[dict[str, Any]]]:
    """Linkerd's document, with more fields; what is not known is null."""
    if baseline is None:
        routes = sorted(table.routes, key=lambda route: (route.service, route.route))
        rows = [_json(route, table, outbound=outbound) for route in routes]
        nothing: dict[str, Any] = {"baseline": None, "differs": {}, "no_baseline": table.no_before or None}
        return {table.title: [{**row, **nothing} for row in rows]}
    rows = []
    for pair in compare(table, baseline.table, outbound=outbound):
        then = None if pair.before is None else _json(pair.before, baseline.table, outbound=outbound)
        if then is not None:
            then["where"] = baseline.then
        service, name = pair.key
        now = pair.now or Route(name, service)
        row = _json(now, table, outbound=outbound)
        rows.append({**row, "baseline": then, "differs": pair.differs, "no_baseline": None})
    return {table.title: rows}


def _cells(route: Route, seconds: float, *, outbound: bool, wide: bool) -> list[str]:
    cells = [route.route, route.service or "-", percent_cell(route.success_rate), rate_cell(route.total, seconds)]
    if outbound and wide:
        attempts = None
        if route.actual_success is not None and route.actual_failure is not None:
            attempts = route.actual_success + route.actual_failure
        cells += [percent_cell(route.actual_rate), rate_cell(attempts or 0, seconds)]
    cells += [ms_cell(value) for value in (route.p50, route.p95, route.p99)]
    if wide:
        cells += [bytes_cell(route.request_bytes, seconds), bytes_cell(route.response_bytes, seconds)]
        if outbound:
            cells += [_share(route.timeouts, route.total), _share(route.retries, route.total + (route.retries or 0))]
    return cells


def line(cells: list[str], widths: list[int], left: frozenset[int]) -> str:
    """Figures to the right, words (the columns of `left`) to the left."""
    padded = [
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return GAP.join(padded).rstrip()


def _json(route: Route, table: Table, *, outbound: bool) -> dict[str, Any]:
    seconds = table.seconds
    row: dict[str, Any] = {"route": route.route, "authority": route.service}
    if outbound:
        attempts = None
        if route.actual_success is not None and route.actual_failure is not None:
            attempts = route.actual_success + route.actual_failure
        row["effective_success"], row["effective_rps"] = route.success_rate, route.total / seconds
        row["actual_success"] = route.actual_rate
        row["actual_rps"] = None if attempts is None else attempts / seconds
    else:
        row["success"], row["rps"] = route.success_rate, route.total / seconds
    for name, value in (("p50", route.p50), ("p95", route.p95), ("p99", route.p99)):
        row[f"latency_ms_{name}"] = None if value is None else round(value, 3)
    return row | {
        "kind": route.kind,
        "requests": route.total,
        "failures": route.failure,
        "statuses": route.statuses,
        "request_bytes": route.request_bytes,
        "response_bytes": route.response_bytes,
        "timeouts": route.timeouts,
        "retries": route.retries,
        "seconds": round(seconds, 3),
        "source": table.source,
    }


def percent_cell(share: float | None) -> str:
    """A share, as Linkerd writes it."""
    return "-" if share is None else f"{share * 100:.2f}%"


def rate_cell(count: int, seconds: float) -> str:
    """Requests per second."""
    return f"{count / seconds:.1f}rps" if count and seconds else "-"


def ms_cell(value: float | None) -> str:
    """A latency; small ones with a digit more."""
    if value is None:
        return "-"
    return f"{value:.0f}ms" if value >= 10 else f"{value:.1f}ms"


def bytes_cell(count: int | None, seconds: float) -> str:
    """Bytes per second."""
    return "-" if count is None or not seconds else f"{bytes_text(round(count / seconds))}/s"


def _share(count: int | None, total: int) -> str:
    return "-" if not count or not total else f"{count / total * 100:.2f}%"
