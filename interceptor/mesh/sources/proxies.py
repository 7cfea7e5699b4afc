"""The mesh's own proxies as a source: two scrapes of each pod's proxy over port-forward, no Prometheus needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.mesh.exposition import Sample, samples
from interceptor.mesh.proxy_http import ask
from interceptor.mesh.sources import envoy, linkerd
from interceptor.mesh.sources.deltas import Growth, growth
from interceptor.mesh.sources.model import OUTBOUND, NoFigures, Query, Route, Table
from interceptor.mesh.sources.whole import connections_of_envoy, whole_of

MOST_PODS = 20  # port-forwards through one API server
SCRAPE_TIME = 10.0
COARSE = "their latencies are estimates: the proxy counts HTTPRoutes in only a few buckets"


@dataclass(frozen=True)
class Proxy:
    """One pod's proxy: where its metrics are, its container, and the port of its own settings."""

    pod: str
    mesh: str  # Linkerd, Istio, Envoy
    port: int
    path: str
    container: str
    admin: int
    environ: Mapping[str, str]  # as far as the pod's spec has the values

    @property
    def names(self) -> frozenset[str]:
        """The metrics we want."""
        return linkerd.NAMES if self.mesh == "Linkerd" else envoy.NAMES


def proxy_in(pod: dict[str, Any]) -> Proxy | None:
    """The proxy beside an app, by its container."""
    spec = pod["spec"]
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        ports = {port.get("name"): port["containerPort"] for port in container.get("ports") or []}
        name, place = container["name"], pod["metadata"]["name"]
        environ = {item["name"]: str(item["value"]) for item in container.get("env") or [] if "value" in item}
        if name == "linkerd-proxy":
            port = ports.get("linkerd-admin", 4191)
            return Proxy(place, "Linkerd", port, "/metrics", name, port, environ)
        if name == "istio-proxy":
            return Proxy(place, "Istio", 15020, "/stats/prometheus", name, 15000, environ)
        if "envoy" in name or "/envoy" in container.get("image", ""):
            port = ports.get("admin", ports.get("envoy-admin", 9901))
            return Proxy(place, "Envoy", port, "/stats/prometheus", name, port, environ)
    return None


class Proxies:
    """See `model.Source`."""

    name = "proxies"

    def __init__(self, cluster: Cluster, pods: Sequence[dict[str, Any]], gate: asyncio.Semaphore | None = None) -> None:
        """`gate` bounds how many are asked at once, also by others who ask for other workloads."""
        self._cluster = cluster
        self._gate = gate or asyncio.Semaphore(MOST_PODS)
        self._refused = ""  # why a proxy could not be asked
        self._pods = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]

    async def routes(self, query: Query) -> Table:
        """Scrape, wait for the window, scrape again. Raises NoFigures."""
        found = [proxy for proxy in map(proxy_in, self._pods) if proxy is not None]
        if not found:
            raise NoFigures(f"no pod of {query.title} has a mesh proxy")
        proxies, notes = found[:MOST_PODS], []
        if len(found) > MOST_PODS:
            notes.append(f"{MOST_PODS} of its {len(found)} pods were asked")
        began = time.monotonic()
        before = await self._scrape(proxies, query)
        if not before:
            raise NoFigures(f"no proxy of {query.title} can be asked: {self._refused}", unknown=True)
        await asyncio.sleep(max(0.0, query.window - (time.monotonic() - began)))
        scraped = time.monotonic()
        after = await self._scrape([proxy for proxy in proxies if proxy.pod in before], query)
        seconds = scraped - began
        lost = len(proxies) - len(after)
        if lost:
            notes.append(f"the proxies of {lost} pods did not answer")
        grown: Growth = []
        connections = 0
        for pod, latest in after.items():
            grown += growth(before[pod], latest)
            connections += linkerd.connections_of(latest, query.direction) + connections_of_envoy(latest)
        mesh = proxies[0].mesh
        routes = (linkerd if mesh == "Linkerd" else envoy).routes_of(grown, query)
        if query.direction == OUTBOUND and any(_coarse(route) for route in routes):
            notes.append(COARSE)
        if mesh != "Linkerd":
            notes.append(f"{mesh} does not count by route: figures are by service")
        pods = "1 pod" if len(after) == 1 else f"{len(after)} pods"
        whole = whole_of(grown, routes, query)
        return Table(query.title, f"the {mesh} proxies of {pods}", seconds, routes, notes, connections, whole)

    async def so_far(self, queries: Sequence[Query]) -> list[Table]:
        """A table for each query, of all that the proxies have counted: one scrape, at once. Raises NoFigures."""
        found = [proxy for proxy in map(proxy_in, self._pods) if proxy is not None]
        title = queries[0].title
        if not found:
            raise NoFigures(f"no pod of {title} had a mesh proxy")
        mesh = found[0].mesh
        scraped = await self._scrape(found[:MOST_PODS], queries[0])
        if not scraped:
            raise NoFigures(f"no proxy of {title} could be asked: {self._refused}", unknown=True)
        seconds = max(map(age, scraped.values()))
        all_of_them: Growth = [sample for part in scraped.values() for sample in part]
        pods = "1 pod" if len(found) == 1 else f"{len(scraped)} of {len(found)} pods"
        tables = []
        for query in queries:
            routes = (linkerd if mesh == "Linkerd" else envoy).routes_of(all_of_them, query)
            source = f"the {mesh} proxies of {pods}, since they began"
            notes = [COARSE] if query.direction == OUTBOUND and any(map(_coarse, routes)) else []
            tables.append(Table(query.title, source, seconds, routes, notes))
        return tables

    async def _scrape(self, proxies: Sequence[Proxy], query: Query) -> dict[str, list[Sample]]:
        """The samples of each that answers."""
        found: dict[str, list[Sample]] = {}

        async def scrape(proxy: Proxy) -> None:
            try:
                async with self._gate:
                    answer = await ask(
                        self._cluster, query.namespace, proxy.pod, proxy.path, port=proxy.port, within=SCRAPE_TIME
                    )
            except InterceptorError as error:  # the table says how many did not answer
                self._refused = error.message
                return
            if answer.status == 200:
                found[proxy.pod] = list(samples(answer.text, proxy.names))
            else:
                self._refused = f"it answers {answer.status}"

        async with asyncio.TaskGroup() as group:
            for proxy in proxies:
                group.create_task(scrape(proxy), name=f"scrape {proxy.pod}")
        return found


def age(scraped: Sequence[Sample]) -> float:
    """Seconds since a proxy began, as far as it says so and our clock is right; a second at least."""
    for sample in scraped:
        if sample.name == "process_start_time_seconds":
            return max(1.0, time.time() - sample.value)
        if sample.name == "envoy_server_uptime":
            return max(1.0, sample.value)
    return 1.0


def _coarse(route: Route) -> bool:
    return route.kind in ("HTTPRoute", "GRPCRoute") and route.total > 0
