"""When the client counts as gone: pure, with times that the test names."""

from __future__ import annotations

import pytest

from agent.watchdog import Watchdog
from interceptor.tunnel.mux import SILENCE
from interceptor.wire.reasons import Reason

LOST, SILENT = 3.0, 15.0


@pytest.fixture
def watchdog() -> Watchdog:
    return Watchdog(LOST, SILENT)


def gone_after(
    watchdog: Watchdog, renewed: str = "t0", step: float = 0.5, start: float = 100.0, lasts: float = SILENT
) -> float:
    """Seconds of looks at a Lease that does not move until the client counts as gone."""
    for count in range(1000):
        if watchdog.seen(renewed, lasts, start + count * step):
            return count * step
    raise AssertionError("never")


def test_first_tunnel_has_the_long_time(watchdog: Watchdog) -> None:
    assert watchdog.watching
    assert gone_after(watchdog) == SILENT


def test_live_tunnel_is_not_watched(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    assert not watchdog.watching
    assert not watchdog.seen("t0", SILENT, 100)
    assert not watchdog.seen("t0", SILENT, 200)


@pytest.mark.parametrize("reason", [Reason.GONE, Reason.BROKEN, Reason.CANCELLED, Reason.PROTOCOL])
def test_lost_client_has_the_short_time(watchdog: Watchdog, reason: Reason) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, reason)
    assert gone_after(watchdog) == LOST


def test_silent_client_has_the_long_time(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.SILENCE)
    assert gone_after(watchdog) == SILENT - SILENCE  # for so long it had been quiet


def test_silence_alone_is_no_death() -> None:
    """However short the times are set: half must be seen of the Lease."""
    watchdog = Watchdog(LOST, SILENCE)
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.SILENCE)
    assert gone_after(watchdog) == SILENCE / 2


def test_goodbye_retires(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GOODBYE)
    assert not watchdog.watching
    assert not watchdog.seen("t0", SILENT, 100)
    assert not watchdog.seen("t0", SILENT, 1000)


def test_moving_lease_proves_life(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    for count in range(100):
        assert not watchdog.seen(f"t{count}", SILENT, 100.0 + count)
    assert gone_after(watchdog, "t99", start=199.0) == SILENT


def test_unreachable_api_counts_for_nothing(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    for count in range(20):
        assert not watchdog.seen("t0", SILENT, 100.0 + 10 * count)
        watchdog.unseen()
    assert gone_after(watchdog, start=1000.0) == LOST


def test_long_step_counts_little(watchdog: Watchdog) -> None:
    """A pod that was frozen for an hour has not watched for an hour."""
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    assert not watchdog.seen("t0", SILENT, 0)
    assert not watchdog.seen("t0", SILENT, 3600)
    assert gone_after(watchdog, start=3600.5) >= LOST - 2


def test_short_lease_has_a_short_time(watchdog: Watchdog) -> None:
    """As it is until the client has reached its first agent."""
    assert gone_after(watchdog, lasts=2.0) == 2.0


def test_short_lease_shortens_the_loss_too(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    assert gone_after(watchdog, lasts=2.0) == 2.0


def test_lengthened_lease_has_the_long_time(watchdog: Watchdog) -> None:
    """The client has reached another agent meanwhile."""
    assert not watchdog.seen("t0", 2.0, 100)
    assert not watchdog.seen("t0", 2.0, 100.5)
    assert gone_after(watchdog, "t1", start=101) == SILENT


def test_renewed_short_lease_is_alive(watchdog: Watchdog) -> None:
    for count in range(100):
        assert not watchdog.seen(f"t{count // 3}", 2.0, 100.0 + 0.5 * count)


def test_short_time_is_looked_at_often(watchdog: Watchdog) -> None:
    """One pause of the pod's own must not look like the client's silence."""
    assert watchdog.pause == 0.5
    watchdog.seen("t0", 2.0, 100)
    assert watchdog.pause == 0.25
    assert not watchdog.seen("t0", 2.0, 200)
    assert not watchdog.seen("t0", 2.0, 300)
    assert not watchdog.seen("t0", 2.0, 400)
    assert watchdog.seen("t0", 2.0, 500)


def test_time_before_the_first_look_counts(watchdog: Watchdog) -> None:
    """As far as the API server's clock tells it."""
    assert not watchdog.seen("t0", 2.0, 100.0, age=0.5)
    assert gone_after(watchdog, start=100.5, lasts=2.0) == 1.0


def test_half_must_be_seen(watchdog: Watchdog) -> None:
    """However old the Lease is: who lives may be about to renew it."""
    assert not watchdog.seen("t0", 2.0, 100.0, age=3600)
    assert not watchdog.seen("t0", 2.0, 100.5, age=3600)
    assert watchdog.seen("t0", 2.0, 101.0, age=3600)


def test_time_before_a_renewal_counts_for_nothing(watchdog: Watchdog) -> None:
    assert not watchdog.seen("t0", 2.0, 100.0, age=3600)
    assert not watchdog.seen("t1", 2.0, 100.5, age=3600)
    assert gone_after(watchdog, "t1", start=101.0, lasts=2.0) >= 1.5


def test_outage_before_the_first_look_counts_for_nothing(watchdog: Watchdog) -> None:
    """The API server was away: nobody could renew."""
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    watchdog.unseen()
    assert not watchdog.seen("t0", SILENT, 100.0, age=20)
    assert gone_after(watchdog, start=100.5) >= LOST - 0.5


def test_return_starts_anew(watchdog: Watchdog) -> None:
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    assert not watchdog.seen("t0", SILENT, 0)
    assert not watchdog.seen("t0", SILENT, 2)
    watchdog.tunnel(True, Reason.GOODBYE)
    watchdog.tunnel(False, Reason.GONE)
    assert gone_after(watchdog) == LOST
