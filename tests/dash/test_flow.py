"""A page gets some of a flood, and the truth about the rest."""

from __future__ import annotations

from typing import Any

from interceptor.dash.flow import LONGEST_PATH, MOST_ROWS, Flow
from interceptor.dash.kept import Kept
from tests.cli.test_tap_lines import CALLER, RECORD


def record(second: int = 0, **more: Any) -> dict[str, Any]:
    return {**RECORD, "time": f"2026-11-23T08:{second // 60:02}:{second % 60:02}+00:00", **more}


def taken(flow: Flow) -> dict[str, Any]:
    told = flow.take()
    assert told is not None
    return told


def test_nothing_new() -> None:
    assert Flow(Kept().add).take() is None


def test_few_are_all_shown() -> None:
    kept = Kept()
    flow = Flow(kept.add)
    for second in range(3):
        flow.add(record(second, caller=CALLER, trace_id="ab"))
    told = taken(flow)
    assert (told["seen"], told["left_out"], told["dropped"]) == (3, {}, 0)
    assert [row["time"][-8:-6] for row in told["rows"]] == ["00", "01", "02"]
    row = told["rows"][0]
    assert (row["who"], row["method"], row["path"], row["outcome"], row["trace"]) == (
        *("deploy/web.shop", "GET", "/books/7", "200", "ab"),
    )
    assert kept.get(row["n"]) == record(0, caller=CALLER, trace_id="ab")
    assert flow.take() is None


def test_flood_is_counted_and_failures_stay() -> None:
    flow = Flow(Kept().add)
    for second in range(1000):
        flow.add(record(second, status=503, failed=True) if second % 250 == 0 else record(second))
    told = taken(flow)
    assert len(told["rows"]) == MOST_ROWS
    assert [row["failed"] for row in told["rows"]].count(True) == 4
    assert told["seen"] == 1000
    assert told["left_out"] == {"2xx": 1000 - MOST_ROWS}


def test_failures_may_be_a_flood_too() -> None:
    flow = Flow(Kept().add)
    for second in range(100):
        flow.add(record(second, status=0, failed=True))
        flow.add(record(second))
    told = taken(flow)
    assert len(told["rows"]) == MOST_ROWS
    assert all(row["failed"] for row in told["rows"])
    assert sum(told["left_out"].values()) + len(told["rows"]) == told["seen"] == 200
    assert told["left_out"] == {"unanswered": 100 - MOST_ROWS, "2xx": 100}


def test_drops_are_told_once() -> None:
    flow = Flow(Kept().add)
    flow.add(record(dropped=7))
    assert taken(flow)["dropped"] == 7
    flow.add(record(dropped=9))
    assert taken(flow)["dropped"] == 2


def test_long_words_are_cut() -> None:
    flow = Flow(Kept().add)
    flow.add(record(path="/" + "x" * 60_000, method="M" * 500, cancelled="y" * 5000))
    (row,) = taken(flow)["rows"]
    assert (len(row["path"]), len(row["method"])) == (LONGEST_PATH, 20)
    assert max(map(len, row["notes"])) <= LONGEST_PATH


def test_trouble_is_told() -> None:
    flow = Flow(Kept().add)
    flow.trouble = "no cluster"
    assert taken(flow)["trouble"] == "no cluster"
    assert flow.take() is None
