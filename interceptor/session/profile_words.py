"""Figures of a route in one line, old beside new; `profile_set` tells them. Pure."""

from __future__ import annotations

from collections.abc import Callable

from interceptor.mesh.sources.model import Route
from interceptor.session.profile_effect import Figures


def comparison(before: Figures | None, now: Figures) -> str:
    """`success 71.0% -> 100.0%, 7.0 -> 7.1 rps, p95 812 ms -> 298 ms, timeouts - -> 12.0%, retries - -> 30.1%`."""
    old = before if before is not None and before.route is not None else None

    def pair(of: Callable[[Figures], str]) -> str:
        return of(now) if old is None else f"{of(old)} -> {of(now)}"

    parts = [
        f"success {pair(_success)}",
        f"{pair(_rate)} rps",
        f"p50 {pair(lambda one: _ms(_route(one).p50))}",
        f"p95 {pair(lambda one: _ms(_route(one).p95))}",
        f"p99 {pair(lambda one: _ms(_route(one).p99))}",
    ]
    for word, of in (("timeouts", _timeouts), ("retries", _retries)):
        if of(now) != "-" or (old is not None and of(old) != "-"):
            parts.append(f"{word} {pair(of)}")
    subject = "all routes of the service" if now.whole_service else _route(now).route
    return f"{subject}: {', '.join(parts)} (over {now.seconds:.0f} s, {now.source})"


def _route(figures: Figures) -> Route:
    return figures.route or Route("")


def _success(figures: Figures) -> str:
    rate = _route(figures).success_rate
    return "-" if rate is None else f"{rate * 100:.1f}%"


def _rate(figures: Figures) -> str:
    return f"{_route(figures).total / figures.seconds:.1f}" if figures.seconds else "-"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _timeouts(figures: Figures) -> str:
    return _share(_route(figures).timeouts, _route(figures).total)


def _retries(figures: Figures) -> str:
    route = _route(figures)
    return _share(route.retries, route.total)


def _share(count: int | None, total: int) -> str:
    return "-" if not count or not total else f"{count / total * 100:.1f}%"
