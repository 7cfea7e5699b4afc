"""How figures by workload look: the columns and words of `linkerd viz stat`. Pure; `cli.stat` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from interceptor.cli.routes_table import bytes_cell, line, ms_cell, percent_cell, rate_cell
from interceptor.session.stat import Look, Row

_COLUMNS = ("NAME", "MESHED", "SUCCESS", "RPS", "LATENCY_P50", "LATENCY_P95", "LATENCY_P99", "TCP_CONN")
_MORE = ("READ_BYTES/SEC", "WRITE_BYTES/SEC", "SOURCE")
_WORDS = {
    "session": "an intercept on this machine",
    "proxies": "the mesh's proxies",
    "prometheus": "Prometheus",
}
# Linkerd's JSON has kinds by their long names.
_LONG = {"deploy": "deployment", "sts": "statefulset", "ds": "daemonset", "rs": "replicaset", "pod": "pod"}


def text_table(rows: Sequence[Row], *, namespaces: bool, wide: bool) -> list[tuple[str, float | None]]:
    """The lines, each with its success rate (None for those without requests)."""
    titles = [*(("NAMESPACE",) if namespaces else ()), *_COLUMNS, *(_MORE if wide else ())]
    table = [_cells(row, namespaces=namespaces, wide=wide) for row in rows]
    widths = [max(len(cells[column]) for cells in [titles, *table]) for column in range(len(titles))]
    left = frozenset({0, 1} if namespaces else {0})
    if wide:
        left |= {len(titles) - 1}
    return [(line(titles, widths, left), None)] + [
        (line(cells, widths, left), _rate(row)) for cells, row in zip(table, rows, strict=True)
    ]


def footer(look: Look) -> list[str]:
    """Where the figures are from, what one must know about them, and what could not be had."""
    told = []
    counts = Counter(row.source for row in look.rows if row.source)
    if counts:
        order = sorted(counts, key=list(_WORDS).index)
        told.append("from " + ", ".join(f"{_WORDS[source]} ({counts[source]})" for source in order))
    uncounted = sum(not row.source and not row.unknown for row in look.rows)
    if uncounted:
        told.append(f"nobody counts for {uncounted}: no mesh proxy, not intercepted from this machine")
    notes = dict.fromkeys(note for row in look.rows if row.table is not None for note in row.table.notes)
    told += [f"note: {note}" for note in notes]
    told += [f"unknown: {row.title} in {row.namespace}: {row.unknown}" for row in look.rows if row.unknown]
    return [*told, *(f"unknown: {text}" for text in sorted(look.unknown))]


def json_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Linkerd's document, with more fields; what is not known is null."""
    return [_json(row) for row in rows]


def _rate(row: Row) -> float | None:
    return None if row.table is None or row.table.whole is None else row.table.whole.success_rate


def _meshed(row: Row) -> str:
    return f"{row.meshed}/{len(row.running)}"


def _cells(row: Row, *, namespaces: bool, wide: bool) -> list[str]:
    table = row.table
    whole = None if table is None else table.whole
    connections = "-" if table is None or table.connections is None else str(table.connections)
    cells = [*((row.namespace,) if namespaces else ()), row.title, _meshed(row)]
    if table is None or whole is None:
        cells += ["-"] * 5
    else:
        cells += [percent_cell(whole.success_rate), rate_cell(whole.total, table.seconds)]
        cells += [ms_cell(value) for value in (whole.p50, whole.p95, whole.p99)]
    cells.append(connections)
    if wide:
        for count in (None, None) if whole is None else (whole.request_bytes, whole.response_bytes):
            cells.append(bytes_cell(count, 0.0 if table is None else table.seconds))
        cells.append("unknown" if row.unknown else "-" if table is None else table.source)
    return cells


def _json(row: Row) -> dict[str, Any]:
    table = row.table
    whole = None if table is None else table.whole
    found: dict[str, Any] = {
        "namespace": row.namespace,
        "kind": _LONG.get(row.kind, row.kind),
        "name": row.name,
        "meshed": _meshed(row),
        "success": None if whole is None else whole.success_rate,
        "rps": None if table is None or whole is None else whole.total / table.seconds,
    }
    for name in ("p50", "p95", "p99"):
        value = None if whole is None else getattr(whole, name)
        found[f"latency_ms_{name}"] = None if value is None else round(value, 3)
    found["tcp_open_connections"] = None if table is None else table.connections
    for name, part in (("tcp_read_bytes_rate", "request_bytes"), ("tcp_write_bytes_rate", "response_bytes")):
        count = None if whole is None else getattr(whole, part)
        found[name] = None if count is None or table is None else count / table.seconds
    return found | {
        "requests": None if whole is None else whole.total,
        "failures": None if whole is None else whole.failure,
        "seconds": None if table is None else round(table.seconds, 3),
        "source": None if table is None else table.source,
        "unknown": row.unknown or None,
    }
