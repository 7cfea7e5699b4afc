"""Reads a proxy's /metrics, as far as somebody asks: checks want a handful of its several hundred series.

The text mixes two dialects (classic and OpenMetrics), so types are left alone and samples are found by their name. Label
values may hold `}` and escaped quotes: a pattern that stops at the first `}` loses rows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_ESCAPED = re.compile(r'\\[\\"n]')


@dataclass(frozen=True)
class Sample:
    """One line: what it is called, its labels, its value."""

    name: str
    labels: dict[str, str]
    value: float


def samples(text: str, names: Collection[str]) -> Iterator[Sample]:
    """The samples with these very names; lines that can't be read are passed over, as Prometheus' own parser would not."""
    starts = tuple(names)
    for line in text.split("\n"):
        if not line.startswith(starts):
            continue
        name, brace, rest = line.partition("{")
        inside = ""
        if brace:
            inside, closed, rest = rest.rpartition("}")
            if not closed:
                continue
        else:
            name, _, rest = line.partition(" ")
        if name not in names:
            continue
        try:
            number = float(rest.split()[0])
        except (ValueError, IndexError):
            continue
        yield Sample(name, {key: _plain(value) for key, value in _LABEL.findall(inside)}, number)


def _plain(value: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], value) if "\\" in value else value
