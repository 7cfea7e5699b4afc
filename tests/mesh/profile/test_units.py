"""Times, shares and answers, as people type them and as objects hold them."""

from __future__ import annotations

import pytest

from interceptor.errors import UsageError
from interceptor.mesh.profile.units import answers, duration, ratio, seconds_of


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.3, "300ms"), (1.0, "1s"), (1.5, "1500ms"), (120.0, "2m"), (3600.0, "1h"), (0.0, "0ms")]
)
def test_one_number_and_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "seconds"), [("1h30m", 5400.0), ("1.5s", 1.5), ("0", 0.0), ("0.250s", 0.25)])
def test_others_ways_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1x", "s", "1s 2s", None])
def test_no_time_is_none(text: object) -> None:
    assert seconds_of(text) is None


def test_budget_is_a_share() -> None:
    assert (ratio("20%"), ratio("0.2"), ratio("150%")) == (0.2, 0.2, 1.5)
    for wrong in ("", "much", "-1", "2000%"):
        with pytest.raises(UsageError, match="is no budget"):
            ratio(wrong)


def test_what_is_retried() -> None:
    assert answers("5xx, 503,500-504,gateway-error") == "5xx,503,500-504,gateway-error"
    assert answers("unavailable", grpc=True) == "unavailable"
    for wrong in ("", "6xx", "504-500", "unavailable"):
        with pytest.raises(UsageError):
            answers(wrong)
