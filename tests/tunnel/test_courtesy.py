"""A bulk takes the whole path, or a share of it while small messages pass too."""

from __future__ import annotations

import pytest

from interceptor.tunnel.courtesy import LONGEST, MEASURED, PRESENT, SHARE, Courtesy

MESSAGE = 64 * 1024
COST = 20e-9  # seconds a byte
OCCUPIED = MESSAGE * COST


def test_alone_it_never_waits() -> None:
    courtesy = Courtesy()
    assert not courtesy.sent(MESSAGE, COST, 5.0)
    assert courtesy.wait(5.0) == 0


def test_others_get_their_share() -> None:
    courtesy = Courtesy()
    courtesy.others_at = 5.0
    assert courtesy.wait(5.0) <= 0
    courtesy.sent(MESSAGE, COST, 5.0)
    assert courtesy.wait(5.0) == pytest.approx(OCCUPIED / SHARE)
    assert courtesy.wait(5.0 + OCCUPIED / SHARE) <= 1e-9


def test_several_bulks_share_it() -> None:
    courtesy = Courtesy()
    courtesy.others_at = 5.0
    for _ in range(3):
        courtesy.sent(MESSAGE, COST, 5.0)
    assert courtesy.wait(5.0) == pytest.approx(3 * OCCUPIED / SHARE)


def test_slow_path_never_stops_it() -> None:
    courtesy = Courtesy()
    courtesy.others_at = 5.0
    courtesy.sent(MESSAGE, 1.0, 5.0)
    assert courtesy.wait(5.0) == pytest.approx(LONGEST)


def test_others_who_left_are_forgotten() -> None:
    courtesy = Courtesy()
    courtesy.others_at = 5.0
    for _ in range(20):
        courtesy.sent(MESSAGE, COST, 5.0)
    assert courtesy.wait(5.0 + PRESENT / 2) > 0
    assert courtesy.wait(5.0 + 1.01 * PRESENT) == 0


def test_some_are_timed() -> None:
    courtesy = Courtesy()
    courtesy.others_at = 5.0
    timed = [courtesy.sent(MESSAGE, COST, 5.0) for _ in range(2 * MEASURED)]
    assert timed == [True, *([False] * (MEASURED - 1))] * 2
