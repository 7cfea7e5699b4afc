"""Figures beside those of another time or place, and what differs beyond noise; `cli.routes_table` shows it. Pure.

Routes are paired by their names. What one side counts as a whole (a mesh's [DEFAULT]) stands beside the sum of what the
other side tells apart there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from interceptor.mesh.sources.chance import Sample, holm, quantiles_differ, shares_differ
from interceptor.mesh.sources.model import DEFAULT, Route, Table

LEVEL = 0.01  # the chance that anything in a table is marked that does not differ
QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
BETTER, WORSE = "better", "worse"


@dataclass
class Pair:
    """One route, now and before; None on the side that has not seen it."""

    now: Route | None
    before: Route | None
    differs: dict[str, str] = field(default_factory=dict)  # success, p50, p95, p99: BETTER or WORSE

    @property
    def key(self) -> tuple[str, str]:
        """Its service, where either side knows it, and its name."""
        some = [one for one in (self.now, self.before) if one is not None]
        return next((one.service for one in some if one.service), ""), some[0].route

    @property
    def words(self) -> str:
        """What differs, for a person."""
        if self.now is None or self.before is None or not self.now.total or not self.before.total:
            return ""
        told = []
        if "success" in self.differs:
            told.append("fails less" if self.differs["success"] == BETTER else "fails more")
        for verdict, word in ((BETTER, "faster"), (WORSE, "slower")):
            names = [name for name, _ in QUANTILES if self.differs.get(name) == verdict]
            if names:
                told.append(word if len(names) == len(QUANTILES) else f"{' '.join(names)} {word}")
        return ", ".join(told) or "no difference"


def compare(now: Table, before: Table, *, outbound: bool) -> list[Pair]:
    """All routes of both, with what differs so clearly that chance is no explanation."""
    pairs = _pair_up(now.routes, before.routes, outbound)
    pairs.sort(key=lambda pair: pair.key if outbound else ("", pair.key[1]))
    tests: list[tuple[Pair, str, str, float]] = []
    for pair in pairs:
        if pair.now is not None and pair.before is not None:
            tests += _tests(pair, pair.now, pair.before)
    for (pair, name, verdict, _), real in zip(tests, holm([chance for *_, chance in tests], LEVEL), strict=True):
        if real and verdict:
            pair.differs[name] = verdict
    return pairs


def _tests(pair: Pair, now: Route, before: Route) -> list[tuple[Pair, str, str, float]]:
    found = []
    if now.total and before.total:
        chance = shares_differ(now.failure, now.total, before.failure, before.total)
        better = now.failure * before.total < before.failure * now.total
        found.append((pair, "success", BETTER if better else WORSE, chance))
    ours, theirs = Sample(now.latencies), Sample(before.latencies)
    if ours.total and theirs.total:
        for name, share in QUANTILES:
            way, chance = quantiles_differ(ours, theirs, share)
            found.append((pair, name, ("", WORSE, BETTER)[way], chance))
    return found


def _pair_up(now: Iterable[Route], before: Iterable[Route], outbound: bool) -> list[Pair]:
    ours, theirs = _by_name(now, outbound), _by_name(before, outbound)
    services = dict.fromkeys(service for service, _ in (*ours, *theirs))
    for service in services:
        default = service, DEFAULT
        if default in theirs and default not in ours:
            _add_default(ours, theirs, service)
        elif default in ours and default not in theirs:
            _add_default(theirs, ours, service)
    return [Pair(ours.get(key), theirs.get(key)) for key in dict.fromkeys((*ours, *theirs))]


def _by_name(routes: Iterable[Route], outbound: bool) -> dict[tuple[str, str], Route]:
    """Inbound, a session does not know by which service it was asked, so routes go by their names alone."""
    found: dict[tuple[str, str], list[Route]] = {}
    for route in routes:
        if not is_probe(route):
            found.setdefault((host_of(route.service) if outbound else "", route.route), []).append(route)
    return {key: many[0] if len(many) == 1 else merged(many, many[0].route) for key, many in found.items()}


def is_probe(route: Route) -> bool:
    """The kubelet's requests, which a mesh counts apart, and which don't come to a local process."""
    return route.kind == "default" and route.route == "[PROBE]"


def host_of(service: str) -> str:
    """`orders`, from `orders:80` as somebody asked for it or `orders.shop.svc.cluster.local:80` as a mesh calls it."""
    host = service.partition(":")[0]
    return host if host.replace(".", "").isdigit() else host.partition(".")[0]


def _add_default(apart: dict[tuple[str, str], Route], whole: dict[tuple[str, str], Route], service: str) -> None:
    rest = [route for key, route in apart.items() if key[0] == service and key not in whole]
    if rest:
        apart[service, DEFAULT] = merged(rest, DEFAULT)


def merged(routes: Iterable[Route], name: str) -> Route:
    """Several as one; the service is the first's."""
    many = list(routes)
    whole = Route(name, many[0].service, "default" if name == DEFAULT else many[0].kind)
    statuses: Counter[str] = Counter()
    latencies: Counter[float] = Counter()
    for route in many:
        whole.success += route.success
        whole.failure += route.failure
        statuses.update(route.statuses)
        for bound, count in route.latencies.items():
            latencies[bound] += count  # type: ignore[assignment]  # Prometheus counts in fractions
        for part in ("actual_success", "actual_failure", "request_bytes", "response_bytes", "timeouts", "retries"):
            value = getattr(route, part)
            if value is not None:
                setattr(whole, part, (getattr(whole, part) or 0) + value)
    whole.statuses, whole.latencies = dict(statuses), dict(latencies)
    sample = Sample(whole.latencies)
    whole.p50, whole.p95, whole.p99 = (sample.quantile(share) for _, share in QUANTILES)
    return whole
