"""When the client counts as gone: pure, with times that the test names."""

from __future__ import annotations

import pytest

from agent.watchdog import Watchdog
from interceptor.wire.reasons import Reason

LOST, SILENT = 3.0, 15.0


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(LOST, SILENT)


def gone_after(watchdog: Watchdog, renewed: str = "t0", step: float = 0.5, start: float = 100.0) -> float:
    """Seconds of looks at a Lease that does not move until the client counts as gone."""
    for count in range(1000):
        if watchdog.seen(renewed, start + count * step):
            return count * step
    raise AssertionError("never")


def test_first_tunnel_has_the_long_time(watchdog: Watchdog) -> None:
    assert watchdog.watching
    assert gone_after(watchdog) == SILENT


def test_live_tunnel_is_not_watched(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    assert not watchdog.watching
    assert not watchdog.seen("t0", 100)
    assert not watchdog.seen("t0", 200)


@pytest.mark.parametrize("reason", [Reason.GONE, Reason.BROKEN, Reason.CANCELLED, Reason.PROTOCOL])
def test_lost_client_has_the_short_time(watchdog: Watchdog, reason: Reason) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, reason)
    assert gone_after(watchdog) == LOST


def test_silent_client_has_the_long_time(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.SILENCE)
    assert gone_after(watchdog) == SILENT


def test_goodbye_retires(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GOODBYE)
    assert not watchdog.watching
    assert not watchdog.seen("t0", 100)
    assert not watchdog.seen("t0", 1000)


def test_moving_lease_proves_life(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    for count in range(100):
        assert not watchdog.seen(f"t{count}", 100.0 + count)
    assert gone_after(watchdog, "t99", start=199.0) == SILENT


def test_unreachable_api_counts_for_nothing(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    for count in range(20):
        assert not watchdog.seen("t0", 100.0 + 10 * count)
        watchdog.unseen()
    assert gone_after(watchdog, start=1000.0) == LOST


def test_long_step_counts_little(watchdog: Watchdog) -> None:
    """A pod that was frozen for an hour has not watched for an hour."""
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    assert not watchdog.seen("t0", 0)
    assert not watchdog.seen("t0", 3600)
    assert watchdog.seen("t0", 3602)


def test_return_starts_anew(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    assert not watchdog.seen("t0", 0)
    assert not watchdog.seen("t0", 2)
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    assert gone_after(watchdog) == LOST
