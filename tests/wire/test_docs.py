"""docs/wire.md shows the tables as they are; `python -m tests.wire.test_docs` prints them to paste."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TypeVar

import pytest

from interceptor.wire.frames import MAX_PAYLOAD, Flag, Kind
from interceptor.wire.limits import LONGEST_PAYLOAD, Limits
from interceptor.wire.reasons import Reason
from interceptor.wire.states import HALVES, SETUP, Halves, Setup, Signal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "wire.md"
State = TypeVar("State", bound=Enum)


def table(steps: Mapping[tuple[State, Signal], State], states: type[State]) -> str:
    """A row for each signal, a column for each state; an empty cell is a violation."""
    lines = ["| | " + " | ".join(state.name for state in states) + " |", "|---" * (len(states) + 1) + "|"]
    for signal in Signal:
        cells = [steps[state, signal].name if (state, signal) in steps else "" for state in states]
        lines.append(f"| {signal.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@pytest.mark.parametrize(("steps", "states"), [(SETUP, Setup), (HALVES, Halves)], ids=["setup", "halves"])
def test_tables_are_shown(steps: Mapping[tuple[Enum, Signal], Enum], states: type[Enum]) -> None:
    assert table(steps, states) in PAGE.read_text()


@pytest.mark.parametrize("numbers", [Kind, Flag, Reason])
def test_numbers_are_shown(numbers: type[Kind | Flag | Reason]) -> None:
    text = PAGE.read_text()
    for number in numbers:
        assert f"| {number.value} | {number.name} |" in text


def test_limits_are_shown() -> None:
    text = PAGE.read_text()
    assert f"at most {MAX_PAYLOAD:,} bytes" in text
    for kind, longest in LONGEST_PAYLOAD.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {kind} | {Kind(kind).name} |")]
        assert f"; {longest:,} |" in row
    for name, value in Limits()._asdict().items():
        assert f"| `{name}` | {value:,} |" in text


if __name__ == "__main__":
    print(table(SETUP, Setup), table(HALVES, Halves), sep="\n\n")  # noqa: T201
