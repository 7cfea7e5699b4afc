"""What one page gets to see of a flood of requests: some of them, failures first, and a count of all; `app` feeds it.

Nobody can read a thousand lines a second, and a browser that draws them has no time left to answer its user.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from interceptor.mesh.traffic.record import OPEN, Record
from interceptor.mesh.traffic.wording import notes, outcome, who

MOST_ROWS = 10  # that are told at once
LONGEST_PATH = 300  # characters of a row; the whole stands in the request's detail

Row = dict[str, Any]


class Flow:
    """Takes records, gives now and then the rows to show. `keep` stores those that are shown, and numbers them."""

    def __init__(self, keep: Callable[[Record], int]) -> None:
        self._keep = keep
        self._rows: deque[Record] = deque(maxlen=MOST_ROWS)
        self._failures: deque[Record] = deque(maxlen=MOST_ROWS)
        self._left_out: Counter[str] = Counter()
        self._seen = 0
        self._dropped = 0
        self._told_dropped = 0
        self.trouble = ""  # why nothing comes; told once

    def add(self, record: Record) -> None:
        """One more has passed."""
        self._seen += 1
        self._dropped = max(self._dropped, int(record.get("dropped") or 0))
        place = self._failures if record.get("failed") else self._rows
        if len(place) == MOST_ROWS:
            self._leave_out(place.popleft())
        place.append(record)

    def take(self) -> dict[str, Any] | None:
        """What there is to tell since the last time: rows, the oldest first, and how many are not among them."""
        if not self._seen and not self.trouble:
            return None
        room = MOST_ROWS - len(self._failures)
        while len(self._rows) > room:
            self._leave_out(self._rows.popleft())
        shown = sorted([*self._rows, *self._failures], key=lambda record: str(record["time"]))
        told = {
            "rows": [_row(self._keep(record), record) for record in shown],
            "seen": self._seen,
            "left_out": dict(self._left_out),
            "dropped": self._dropped - self._told_dropped,
            "trouble": self.trouble,
        }
        self.trouble = ""
        self._rows.clear()
        self._failures.clear()
        self._left_out.clear()
        self._seen, self._told_dropped = 0, self._dropped
        return told

    def _leave_out(self, record: Record) -> None:
        status = int(record.get("status") or 0)
        self._left_out[f"{status // 100}xx" if status else "unanswered"] += 1


def _row(number: int, record: Record) -> Row:
    latency = record["latency_ms"] if record["latency_ms"] is not None else record["duration_ms"]
    return {
        "n": number,
        "time": record["time"],
        "who": who(record)[:LONGEST_PATH],
        "method": str(record["method"] or "-")[:20],
        "path": str(record["path"] or record["authority"])[:LONGEST_PATH],
        "outcome": outcome(record),
        "failed": bool(record.get("failed")),
        "open": record["stage"] == OPEN,
        "status": record["status"],
        "ms": latency,
        "size": record["response_size"],
        "trace": record.get("trace_id", ""),
        "direction": record["direction"],
        "notes": [note[:LONGEST_PATH] for note in notes(record)],
    }
