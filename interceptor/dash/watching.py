"""Follows one workload's intercept for the page: its state, its path, its routes; `cli.dash` runs it, `app` reads `news`.

The session is found anew when it ended and another begins, so that the page stays open over a day's intercepts.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, replace
from typing import Any

from interceptor.dash.history import History
from interceptor.errors import InterceptorError
from interceptor.mesh.sources.compare import Pair, compare
from interceptor.mesh.sources.model import OUTBOUND, Query, Route, Table
from interceptor.mesh.sources.observed import Observed
from interceptor.mesh.traffic.counts import Counts, Key
from interceptor.mesh.traffic.sockets import Link, Running, connect
from interceptor.session.access import open_cluster
from interceptor.session.hops import Report
from interceptor.session.options import Access
from interceptor.session.status import status
from interceptor.session.tap import find_session

STATE_EVERY = 1.0
ROUTES_EVERY = 2.0
PATH_EVERY = 5.0
FIND_EVERY = 1.0
WINDOW = 30.0  # seconds that the figures of routes span
MOST_ROUTES = 200  # of each direction, the busiest

Object = dict[str, Any]


class Watching:
    """What is known now. Each kind of news has a number that grows when it changes; pages ask for what they have not."""

    def __init__(self, access: Access, target: str | None) -> None:
        self._access, self._target = access, target
        self.session: Running | None = None
        self.state: Object = {}
        self.history = History()
        self.watched = 0  # pages that look
        self._news: dict[str, tuple[int, Object]] = {}
        self._look = asyncio.Event()

    def news(self, since: dict[str, int]) -> Object:
        """What changed; `since` is brought up to date."""
        found = {}
        for kind, (number, value) in self._news.items():
            if since.get(kind, 0) < number:
                since[kind] = number
                found[kind] = value
        return found

    def enter(self) -> None:
        """One page more looks."""
        self.watched += 1
        self._look.set()

    def leave(self) -> None:
        """One less. Without any, the cluster is left alone."""
        self.watched -= 1
        if not self.watched:
            self._look.clear()

    async def follow(self, session: Running) -> None:
        """Follow a session, and those of its workload that come after it, until cancelled."""
        found: Running | None = session
        while True:
            text = "the intercept has ended; waiting for the next"
            if found is not None and await self._follow_one(found):
                text = "the intercept does not answer; asking again"
            self._tell("session", {"running": False, "text": text})
            await asyncio.sleep(FIND_EVERY)
            try:
                found = await find_session(self._access, self._target or _title(session))
            except InterceptorError:  # still nothing; or the cluster is away, which the next intercept will say
                found = None

    async def _follow_one(self, session: Running) -> bool:
        """Until it ends; True: it stands still, as far as one can tell."""
        silent = False
        self.session, self.history = session, History()
        try:
            async with connect(session.address) as link, asyncio.TaskGroup() as group:
                probing = group.create_task(self._probe(session), name="probe the path")
                silent = await self._ask_until_it_ends(link, session)
                probing.cancel()
        except OSError:  # it has just ended
            pass
        finally:
            self.session, self.state = None, {}
            self._tell("path", {"hops": []})
        return silent

    async def _ask_until_it_ends(self, link: Link, session: Running) -> bool:
        try:
            await self._ask(link, session)
        except TimeoutError:
            return True
        except (InterceptorError, OSError):  # it has
            pass
        return False

    async def _ask(self, link: Link, session: Running) -> None:
        """State every second, routes every other."""
        routes_at = 0.0
        while True:
            self.state = await link.ask({"do": "state"})
            self._tell("session", {"running": True, "about": _about(session), **self.state})
            if time.monotonic() >= routes_at:
                routes_at = time.monotonic() + ROUTES_EVERY - STATE_EVERY / 2
                totals = await link.ask({"do": "traffic"})
                self.history.add(time.monotonic(), _totals(totals))
                self._tell("routes", await self._routes(session))
            await asyncio.sleep(STATE_EVERY)

    async def _routes(self, session: Running) -> Object:
        """Both directions, beside the cluster's figures from before the swap where there are some."""
        query = Query(session.namespace, session.kind, session.name, WINDOW)
        rows, notes, baselines = [], [], {}
        for one in (query, replace(query, outward=True)):
            table = await Observed(session).routes(one)
            outbound = one.direction == OUTBOUND
            if table.before is not None:
                pairs = compare(table, table.before, outbound=outbound)
                baselines[one.direction] = table.before.source
            else:
                pairs = [Pair(route, None) for route in table.routes]
                baselines[one.direction] = f"none: {table.no_before}" if table.no_before else "none"
            pairs.sort(key=lambda pair: -(pair.now.total if pair.now else 0))
            rows += [self._row(one.direction, pair, table) for pair in pairs[:MOST_ROUTES]]
            notes += [note for note in table.notes if note not in notes]
        return {"window": WINDOW, "rows": rows, "notes": notes, "baseline": baselines}

    def _row(self, direction: str, pair: Pair, table: Table) -> Object:
        service, route = pair.key
        points = self.history.points.get((direction, pair.now.service if pair.now else service, route))
        return {
            "direction": direction,
            "route": route,
            "service": service,
            "now": _figures(pair.now, table.seconds),
            "before": _figures(pair.before, table.before.seconds if table.before is not None else 0.0),
            "differs": pair.differs,
            "point": points[-1] if points else None,
        }

    async def _probe(self, session: Running) -> None:
        """Send probes along the path while somebody looks."""
        where = replace(self._access, namespace=session.namespace)
        while True:
            await self._look.wait()
            try:
                async with open_cluster(where) as cluster:
                    told = _path_of(await status(cluster, _title(session)))
            except* InterceptorError as errors:  # alone, or in the group of what was asked at once
                told = _failure(errors)
            self._tell("path", told)
            await asyncio.sleep(PATH_EVERY)

    def _tell(self, kind: str, value: Object) -> None:
        number, before = self._news.get(kind, (0, None))
        if value != before:
            self._news[kind] = number + 1, value


def _path_of(reports: list[Report]) -> Object:
    failing = next((asdict(one.failing) for one in reports if one.failing is not None), None)
    return {"hops": [asdict(hop) for one in reports for hop in one.hops], "failing": failing}


def _failure(errors: BaseExceptionGroup[InterceptorError]) -> Object:
    """The first of them, for the page."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, InterceptorError)
    return {"hops": [], "error": first.message, "hint": first.hint}


def _title(session: Running) -> str:
    return f"{session.kind.lower()}/{session.name}"


def _about(session: Running) -> Object:
    return {name: getattr(session, name) for name in ("session", "namespace", "kind", "name", "server")}


def _totals(answer: Object) -> dict[Key, Counts]:
    return {
        (direction, authority, route): Counts.from_json(value)
        for direction, authority, route, value in answer["routes"]
    }


def _figures(route: Route | None, seconds: float) -> Object | None:
    if route is None or not route.total:
        return None
    return {
        "total": route.total,
        "failures": route.failure,
        "success": route.success_rate,
        "rps": round(route.total / seconds, 2) if seconds else None,
        "p50": route.p50,
        "p95": route.p95,
        "p99": route.p99,
    }
