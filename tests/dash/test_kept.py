"""Requests are kept for a look, and not for ever."""

from __future__ import annotations

from interceptor.dash.kept import Kept
from tests.cli.test_tap_lines import RECORD


def test_kept_by_number() -> None:
    kept = Kept()
    first, second = kept.add(RECORD), kept.add({**RECORD, "path": "/other"})
    assert (kept.get(first), kept.get(second)) == (RECORD, {**RECORD, "path": "/other"})
    assert kept.get(second + 1) is None


def test_oldest_go_first() -> None:
    kept = Kept(most=3)
    numbers = [kept.add(RECORD) for _ in range(5)]
    assert [kept.get(number) is not None for number in numbers] == [False, False, True, True, True]


def test_large_ones_are_fewer() -> None:
    kept = Kept(most=1000, most_bytes=100_000)
    for _ in range(50):
        kept.add({**RECORD, "response_body": "x" * 20_000, "request_headers": [["a", "b" * 5000]]})
    assert 1 <= len(kept) <= 4
    assert kept.bytes <= 100_000
    kept.add({**RECORD, "response_body": "x" * 500_000})
    assert len(kept) == 1
