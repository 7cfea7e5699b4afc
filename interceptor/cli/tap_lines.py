"""How requests look on one line each, and how a flood of them stays readable; `cli.tap` feeds it, and ticks it.

At most MOST_LINES a second are printed as they are, failures first among those that wait; what is left out is summed up
in one line a second, so that nothing goes unsaid at a thousand requests a second.
"""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime
from typing import Any

from interceptor.mesh.traffic.templates import Templates
from interceptor.mesh.traffic.tracing import SHORT
from interceptor.mesh.traffic.wording import notes, outcome, who

Record = dict[str, Any]

MOST_LINES = 25  # a second: more can't be read, and scroll away what can
_WIDTHS = (12, 26, 7, 38, 9, 9, 8, SHORT)
_TITLES = ("TIME", "FROM", "METHOD", "PATH", "STATUS", "LATENCY", "SIZE", "TRACE")


class Screen:
    """Chooses what is shown. `add` and `tick` return lines to print, each with whether it is a failure."""

    def __init__(self, width: int, *, headers: bool = False, limited: bool = True) -> None:
        self._path_width = max(16, width - sum(_WIDTHS) + _WIDTHS[3] - len(_WIDTHS) + 1)
        self._headers = headers
        self._limited = limited
        self._printed = 0  # in this second
        self._failures: deque[Record] = deque(maxlen=MOST_LINES)
        self._left_out: Counter[str] = Counter()
        self._routes: Counter[tuple[str, str]] = Counter()  # of those, by method and template
        self._templates = Templates(self._rename)
        self._dropped = 0

    def title(self) -> str:
        """The line above the table."""
        return self._row(_TITLES)

    def add(self, record: Record) -> list[tuple[str, bool]]:
        """One more request."""
        if not self._limited or self._printed < MOST_LINES:
            self._printed += 1
            return self._lines(record)
        if record.get("failed") and len(self._failures) < MOST_LINES:
            self._failures.append(record)
        else:
            self._leave_out(record)
        return []

    def tick(self, dropped: int) -> list[tuple[str, bool]]:
        """A second is over."""
        lines: list[tuple[str, bool]] = []
        for record in self._failures:
            lines += self._lines(record)
        self._printed = len(self._failures)
        self._failures.clear()
        if self._left_out:
            total = sum(self._left_out.values())
            statuses = ", ".join(f"{count} {status}" for status, count in sorted(self._left_out.items()))
            routes = ", ".join(f"{count} {' '.join(route)}" for route, count in self._routes.most_common(3))
            lines.append((_printable(f"... {total} more in this second: {statuses}; most of them {routes}"), False))
            self._left_out.clear()
            self._routes.clear()
        if dropped > self._dropped:
            lines.append((f"... {dropped - self._dropped} came too fast and were dropped unseen", True))
            self._dropped = dropped
        return lines

    def _leave_out(self, record: Record) -> None:
        status = record.get("status") or 0
        self._left_out[f"{status // 100}xx" if status else "unanswered"] += 1
        route = str(record["method"] or "-"), self._templates.name(str(record["path"]))  # may rename others
        self._routes[route] += 1

    def _rename(self) -> None:
        """Some routes have become one."""
        routes, self._routes = self._routes, Counter()
        for (method, path), count in routes.items():
            self._routes[method, self._templates.name(path)] += count

    def _lines(self, record: Record) -> list[tuple[str, bool]]:
        failed = bool(record.get("failed"))
        size = record["response_size"]
        path = record["path"] or record["authority"]
        row = (
            _time(record["time"]),
            who(record),
            record["method"] or "-",
            path,
            outcome(record),
            milliseconds(record["latency_ms"] if record["latency_ms"] is not None else record["duration_ms"]),
            bytes_text(size),
            str(record.get("trace_id", ""))[:SHORT],
        )
        lines = [(self._row(row), failed)]
        lines += [(f"    {note}", failed) for note in notes(record)]
        if self._headers:
            lines += [(f"    > {name}: {value}", False) for name, value in record["request_headers"]]
            lines += [(f"    < {name}: {value}", False) for name, value in record["response_headers"]]
        return lines

    def _row(self, cells: tuple[str, ...]) -> str:
        widths = list(_WIDTHS)
        widths[3] = self._path_width
        texts = []
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            text = _printable(cell)
            if len(text) > width:
                text = text[: width - 1] + "~" if index != 1 else "~" + text[1 - width :]
            texts.append(f"{text:>{width}}" if index in (5, 6) else f"{text:<{width}}")
        return " ".join(texts).rstrip()


def milliseconds(value: float | None) -> str:
    """A time as people read it."""
    if value is None:
        return "-"
    if value < 10:
        return f"{value:.1f}ms"
    return f"{value:.0f}ms" if value < 10_000 else f"{value / 1000:.1f}s"


def bytes_text(size: int) -> str:
    """A size as people read it."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f}{unit}" if value >= 10 or unit == "B" else f"{value:.1f}{unit}"


def _time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _printable(text: str) -> str:
    """What came over the network must not steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
