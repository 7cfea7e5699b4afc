"""What callers of a Service get, before a change and after it, and whether their proxies took it; `profile_set` watches.

The callers' proxies know best: their figures have timeouts and retries, and are by the route that was changed. Where no
caller is meshed, the other sources of `routes` show at least what the Service's workload was asked.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, Forbidden
from interceptor.kube.resources import PODS
from interceptor.mesh.exposition import Sample, samples
from interceptor.mesh.profile.proof import SIGNS, Asked, Proof, by_config, by_counters, calls, knows
from interceptor.mesh.proxy_http import ProxyUnreachable, ask
from interceptor.mesh.sources import envoy, linkerd
from interceptor.mesh.sources.deltas import Growth, growth
from interceptor.mesh.sources.model import DEFAULT, Query, Route
from interceptor.mesh.sources.proxies import SCRAPE_TIME, Proxy, proxy_in
from interceptor.session.options import Access
from interceptor.session.routes import RoutesOptions, measure

Object = dict[str, Any]

MOST_PROXIES = 20
AT_ONCE = 8
_NAMES = linkerd.NAMES | envoy.NAMES | SIGNS


@dataclass
class Figures:
    """What one window showed of the route; `route` is None where it was not asked."""

    route: Route | None
    seconds: float
    source: str
    whole_service: bool = False  # the figures are of the Service: the source knows no routes

    def to_json(self) -> Object:
        """For the JSON line."""
        found: Object = {"source": self.source, "seconds": round(self.seconds, 1), "whole_service": self.whole_service}
        one = self.route or Route("")
        rate = one.total / self.seconds if self.seconds else 0.0
        return found | {
            "requests": one.total, "success": one.success_rate, "rps": round(rate, 3), "latency_ms_p50": one.p50,
            "latency_ms_p95": one.p95, "latency_ms_p99": one.p99, "timeouts": one.timeouts, "retries": one.retries,
            "statuses": one.statuses,
        }  # fmt: skip


@dataclass
class _Caller:
    """A pod with a proxy, and what it had counted when it was asked last."""

    namespace: str
    proxy: Proxy
    first: list[Sample] = field(default_factory=list)
    last: list[Sample] = field(default_factory=list)
    proven: str = ""
    against: bool = False


class Effect:
    """Follows one route of one Service."""

    def __init__(self, cluster: Cluster, access: Access, query: Query, asked: Asked) -> None:
        self._cluster, self._access, self._query, self._asked = cluster, access, query, asked
        self._callers: list[_Caller] = []
        self._scraped = 0.0
        self._other = True  # whether another source may be tried
        self.note = ""

    async def begin(self) -> None:
        """Find the callers' proxies and read them for the first time."""
        pods = await self._pods()
        found = [
            _Caller(pod["metadata"]["namespace"], proxy)
            for pod in pods
            if (pod.get("status") or {}).get("phase") == "Running" and (proxy := proxy_in(pod)) is not None
        ]
        if len(found) > MOST_PROXIES:
            self.note = f"{MOST_PROXIES} of {len(found)} proxies are asked"
            found = found[:MOST_PROXIES]
        await self._scrape(found)
        self._callers = [one for one in found if self._calls(one)]
        for one in self._callers:
            one.first = one.last
        if not self._callers:
            self.note = (
                f"none of {len(found)} proxies has called {self._query.to} yet" if found
                else "no caller has a mesh proxy: nobody there would obey a ServiceProfile or route"
            )  # fmt: skip

    def _calls(self, one: _Caller) -> bool:
        if one.proxy.mesh == "Linkerd":
            return calls(self._query, one.last)
        return knows(self._query, one.last, at_home=one.namespace == self._query.namespace)

    async def figures(self, window: float) -> Figures | None:
        """What the window showed; None where nobody can tell. Takes the window's time."""
        if self._callers:
            await asyncio.sleep(window)
            return await self._grown()
        if not self._other:
            await asyncio.sleep(window)
            return None
        return await self._from_elsewhere(window)

    async def _grown(self) -> Figures:
        before, began = {id(one): one.last for one in self._callers}, self._scraped
        await self._scrape(self._callers)
        grown: Growth = []
        for one in self._callers:
            grown += growth(before[id(one)], one.last)
        meshes = sorted({one.proxy.mesh for one in self._callers})
        routes = [
            route
            for mesh in meshes
            for route in (linkerd if mesh == "Linkerd" else envoy).routes_of(grown, self._query)
        ]
        chosen, whole = _choose(routes, self._asked)
        count = len(self._callers)
        pods = "1 calling pod" if count == 1 else f"{count} calling pods"
        source = f"the {' and '.join(meshes)} proxies of {pods}"
        return Figures(chosen, self._scraped - began, source, whole)

    async def _from_elsewhere(self, window: float) -> Figures | None:
        options = RoutesOptions(f"svc/{self._query.to}", window=window, access=self._access)
        try:
            tables = measure(options)
            try:
                table = await anext(tables)
            finally:
                await tables.aclose()
        except InterceptorError as error:
            self._other = False
            self.note = f"{self.note}; and {error.message}" if self.note else error.message
            return None
        chosen, whole = _choose(table.routes, self._asked)
        return Figures(chosen, table.seconds, table.source, whole)

    async def prove(self) -> Proof:
        """What the proxies tell by now."""
        if not self._callers:
            return Proof("impossible", f"whether it is obeyed can't be seen: {self.note}")
        async with asyncio.TaskGroup() as group:
            for one in self._callers:
                if not one.proven:
                    group.create_task(self._ask(one), name=f"ask {one.proxy.pod}")
        count = len(self._callers)
        proven = [one for one in self._callers if one.proven]
        if len(proven) == count:
            words = ", ".join(dict.fromkeys(one.proven for one in proven))
            return Proof("proven", f"{_each(count)} took it: {words}")
        waiting = [one.proxy.pod for one in self._callers if not one.proven]
        some = ", ".join(waiting[:3]) + (" ..." if len(waiting) > 3 else "")
        if any(one.against for one in self._callers):
            return Proof("open", f"not taken yet by the proxy of {some}")
        took = f"{len(proven)} of {count} proxies took it; " if proven else ""
        if all(one.proxy.mesh == "Linkerd" for one in self._callers if not one.proven):
            why = "a Linkerd proxy shows what it did, not what it would do"
        else:
            why = "its configuration names no such route"
        return Proof("open", f"{took}nothing tells yet of the proxy of {some}: {why}")

    async def _ask(self, caller: _Caller) -> None:
        if caller.proxy.mesh == "Linkerd":
            caller.proven = by_counters(self._asked, self._query, caller.first, caller.last)
            return
        admin = 15000 if caller.proxy.mesh == "Istio" else caller.proxy.port
        try:
            answer = await ask(
                self._cluster, caller.namespace, caller.proxy.pod, "/config_dump", port=admin, within=SCRAPE_TIME
            )
            said = by_config(self._asked, self._query, json.loads(answer.text))
        except (ProxyUnreachable, InterceptorError, ValueError):
            return  # nothing is claimed then
        caller.against = said is False
        caller.proven = "its configuration says so" if said else ""

    async def _pods(self) -> list[Object]:
        try:
            return (await self._cluster.list(PODS, None)).items
        except Forbidden:
            pass
        try:
            return (await self._cluster.list(PODS, self._query.namespace)).items
        except ApiError as error:
            self.note = error.message
            return []

    async def _scrape(self, callers: list[_Caller]) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def scrape(one: _Caller) -> None:
            try:
                async with gate:
                    answer = await ask(
                        self._cluster, one.namespace, one.proxy.pod, one.proxy.path,
                        port=one.proxy.port, within=SCRAPE_TIME,
                    )  # fmt: skip
            except (ProxyUnreachable, InterceptorError):  # its pod may have ended: the others go on counting
                return
            if answer.status == 200:
                one.last = list(samples(answer.text, _NAMES))

        self._scraped = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for one in callers:
                group.create_task(scrape(one), name=f"scrape {one.proxy.pod}")


def _each(count: int) -> str:
    return "the caller's proxy" if count == 1 else f"all {count} callers' proxies"


def _choose(routes: list[Route], asked: Asked) -> tuple[Route | None, bool]:
    """The route that was changed; of a source that knows none, the Service as a whole."""
    for route in routes:
        if route.route in (asked.route, asked.path):
            return route, False
    if (
        routes
        and all(route.route == DEFAULT or route.kind in ("default", "") for route in routes)
        and not any(route.kind in ("ServiceProfile", "HTTPRoute", "GRPCRoute") for route in routes)
    ):
        return routes[0], not asked.made
    return None, False
