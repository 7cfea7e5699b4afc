"""The last requests that pages were shown, whole, so that one of them can be looked at or sent again; `app` asks for them."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count

from interceptor.mesh.traffic.record import Record

MOST = 2000
MOST_BYTES = 64 * 1024 * 1024
_PARTS = ("request_headers", "response_headers", "request_trailers", "response_trailers")


class Kept:
    """Bounded by number and by size; the oldest go first."""

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._records: OrderedDict[int, tuple[Record, int]] = OrderedDict()
        self._numbers = count(1)
        self.bytes = 0

    def add(self, record: Record) -> int:
        """Keep one more; returns the number to ask for it by."""
        number, size = next(self._numbers), _size(record)
        self._records[number] = record, size
        self.bytes += size
        while len(self._records) > self._most or (self.bytes > self._most_bytes and len(self._records) > 1):
            _, (_, gone) = self._records.popitem(last=False)
            self.bytes -= gone
        return number

    def get(self, number: int) -> Record | None:
        """None once it is gone."""
        found = self._records.get(number)
        return found[0] if found is not None else None

    def __len__(self) -> int:
        return len(self._records)


def _size(record: Record) -> int:
    """About what it takes: bodies and headers are what may be large."""
    size = 2000 + len(record.get("path", "")) + len(record.get("authority", ""))
    size += len(record.get("request_body") or "") + len(record.get("response_body") or "")
    return size + sum(100 + len(name) + len(value) for part in _PARTS for name, value in record.get(part, ()))
