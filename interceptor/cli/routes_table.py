"""How figures by route look: Linkerd's columns and words, which its users and scripts know. Pure; `cli.routes` prints."""

from __future__ import annotations

from typing import Any

from interceptor.cli.tap_lines import bytes_text
from interceptor.mesh.sources.model import Route, Table

GAP = "   "
_HEAD = ("ROUTE", "SERVICE")
_INBOUND = ("SUCCESS", "RPS")
_EFFECTIVE = ("EFFECTIVE_SUCCESS", "EFFECTIVE_RPS", "ACTUAL_SUCCESS", "ACTUAL_RPS")
_LATENCY = ("LATENCY_P50", "LATENCY_P95", "LATENCY_P99")
_MORE = ("READ_BYTES/SEC", "WRITE_BYTES/SEC")
_POLICY = ("TIMEOUTS", "RETRIES")
POOR, BAD = 0.999, 0.95  # success rates below which a row is worth a look


def text_table(table: Table, *, outbound: bool, wide: bool) -> list[tuple[str, float | None]]:
    """The lines, each with its success rate (None for those that are no route)."""
    split = outbound and wide
    titles = [*_HEAD, *(_EFFECTIVE if split else _INBOUND), *_LATENCY]
    if wide:
        titles += [*_MORE, *(_POLICY if outbound else ())]
    routes = sorted(table.routes, key=lambda route: (route.service, route.route))
    rows = [_cells(route, table.seconds, outbound=outbound, wide=wide) for route in routes]
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    lines: list[tuple[str, float | None]] = [(_line(titles, widths), None)]
    lines += [(_line(row, widths), route.success_rate) for row, route in zip(rows, routes, strict=True)]
    return lines


def footer(table: Table) -> list[str]:
    """Where the figures are from, and what one must know about them."""
    connections = "" if table.connections is None else f", {table.connections} connections open"
    return [f"from {table.source}, {table.seconds:.0f} s{connections}", *(f"note: {note}" for note in table.notes)]


def json_rows(table: Table, *, outbound: bool) -> dict[str, list[dict[str, Any]]]:
    """Linkerd's document, with more fields; what is not known is null."""
    routes = sorted(table.routes, key=lambda route: (route.service, route.route))
    return {table.title: [_json(route, table, outbound=outbound) for route in routes]}


def _cells(route: Route, seconds: float, *, outbound: bool, wide: bool) -> list[str]:
    cells = [route.route, route.service or "-", _percent(route.success_rate), _rate(route.total, seconds)]
    if outbound and wide:
        attempts = None
        if route.actual_success is not None and route.actual_failure is not None:
            attempts = route.actual_success + route.actual_failure
        cells += [_percent(route.actual_rate), _rate(attempts or 0, seconds)]
    cells += [_ms(value) for value in (route.p50, route.p95, route.p99)]
    if wide:
        cells += [_bytes(route.request_bytes, seconds), _bytes(route.response_bytes, seconds)]
        if outbound:
            cells += [_share(route.timeouts, route.total), _share(route.retries, route.total + (route.retries or 0))]
    return cells


def _line(cells: list[str], widths: list[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return GAP.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip()


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


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.2f}%"


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:.1f}rps" if count and seconds else "-"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}ms" if value >= 10 else f"{value:.1f}ms"


def _bytes(count: int | None, seconds: float) -> str:
    return "-" if count is None or not seconds else f"{bytes_text(round(count / seconds))}/s"


def _share(count: int | None, total: int) -> str:
    return "-" if not count or not total else f"{count / total * 100:.2f}%"
