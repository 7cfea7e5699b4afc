"""Figures by workload, each from the best source there is for it; `cli.stat` calls `measure` and prints the rows.

All workloads are asked side by side, so that their windows pass together; how many proxies are talked to at once is
bounded. What may not be read is told as unknown and takes nothing else along.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, Forbidden
from interceptor.kube.resources import PODS, Resource
from interceptor.mesh.callers import caller_of
from interceptor.mesh.sources import prometheus
from interceptor.mesh.sources.model import AGAIN, NoFigures, Query, Source, Table
from interceptor.mesh.sources.observed import Observed
from interceptor.mesh.sources.prometheus import Prometheus
from interceptor.mesh.sources.proxies import Proxies, proxy_in
from interceptor.mesh.traffic.sockets import Running, running
from interceptor.session.access import open_cluster
from interceptor.session.options import Access
from interceptor.workload import target
from interceptor.workload.kinds import DAEMON_SET, DEPLOYMENT, STATEFUL_SET, kind_for, ref_of
from interceptor.workload.podlist import list_pods

Object = dict[str, Any]

AT_ONCE = 16  # proxies that are talked to
_LISTED = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)
_KINDS = {
    "deploy": "Deployment",
    "sts": "StatefulSet",
    "ds": "DaemonSet",
    "rs": "ReplicaSet",
    "job": "Job",
    "pod": "Pod",
}


@dataclass(frozen=True, slots=True)
class StatOptions:
    """One `interceptor stat`."""

    targets: tuple[str, ...] = ()  # workloads, or kinds: deploy; none: all
    all_namespaces: bool = False
    window: float = 30.0
    watch: bool = False
    source: str = ""
    prometheus: str = ""
    access: Access = field(default_factory=Access)


@dataclass
class Row:
    """One workload. Without a table nobody counts for it, or `unknown` says why that could not be found out."""

    namespace: str
    kind: str  # as people type it: deploy
    name: str
    pods: list[Object] = field(default_factory=list)
    table: Table | None = None
    source: str = ""  # the name of the one that answered
    unknown: str = ""

    @property
    def title(self) -> str:
        """As people type it."""
        return f"{self.kind}/{self.name}"

    @property
    def running(self) -> list[Object]:
        """Its pods that run."""
        return [pod for pod in self.pods if (pod.get("status") or {}).get("phase") == "Running"]

    @property
    def meshed(self) -> int:
        """How many of them have a mesh proxy."""
        return sum(proxy_in(pod) is not None for pod in self.running)

    def query(self, window: float) -> Query:
        """What to ask a source."""
        return Query(self.namespace, _KINDS.get(self.kind, self.kind), self.name, window)


@dataclass(frozen=True)
class Look:
    """All rows of one look, and what could not be looked at."""

    rows: list[Row]
    unknown: Sequence[str]


async def measure(options: StatOptions) -> AsyncGenerator[Look, None]:
    """A look, or with `watch` one after the other. Raises InterceptorError."""
    async with open_cluster(options.access) as cluster:
        while True:
            due = asyncio.get_running_loop().time() + min(options.window, AGAIN)
            unknown: list[str] = []
            rows = await _rows(cluster, options, unknown)
            await _fill_in(cluster, rows, options)
            yield Look(sorted(rows, key=lambda row: (row.namespace, row.kind, row.name)), unknown)
            if not options.watch:
                return
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


async def _rows(cluster: Cluster, options: StatOptions, unknown: list[str]) -> list[Row]:
    """The workloads that are asked for, with their pods."""
    kinds = [one for one in options.targets if "/" not in one and _is_kind(one)]
    named = [one for one in options.targets if one not in kinds]
    found: dict[tuple[str, str], Row] = {}
    if kinds or not named:
        wanted = {_short(kind) for kind in kinds}
        for row in await _all(cluster, None if options.all_namespaces else cluster.namespace, unknown):
            if not wanted or row.kind in wanted:
                found[row.namespace, row.title] = row
    for text in named:
        workload = await target.resolve(cluster, cluster.namespace, text)
        ref = ref_of(workload, cluster.namespace)
        row = Row(ref.namespace, ref.kind.short, ref.name, await list_pods(cluster, ref, workload))
        found[row.namespace, row.title] = row
    return list(found.values())


def _is_kind(text: str) -> bool:
    try:
        return kind_for(target.parse(f"{text}/x").resource or PODS) is not None
    except InterceptorError:
        return False


def _short(text: str) -> str:
    resource = target.parse(f"{text}/x").resource
    kind = None if resource is None else kind_for(resource)
    return "" if kind is None else kind.short


async def _all(cluster: Cluster, namespace: str | None, unknown: list[str]) -> list[Row]:
    """Every workload of a namespace, or of all: those that have pods by their pods, the others by their kinds' lists."""
    async with asyncio.TaskGroup() as group:
        pods = group.create_task(_list(cluster, PODS, namespace, unknown), name="list pods")
        lists = [
            group.create_task(_list(cluster, kind.resource, namespace, unknown), name=f"list {kind.resource.plural}")
            for kind in _LISTED
        ]
    found: dict[tuple[str, str, str], Row] = {}
    for kind, listed in zip(_LISTED, lists, strict=True):
        for item in listed.result():
            metadata = item["metadata"]
            key = metadata["namespace"], kind.short, metadata["name"]
            found[key] = Row(*key)
    for pod in pods.result():
        caller = caller_of(pod)
        short, _, name = (caller.workload or f"pod/{caller.pod}").partition("/")
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            continue
        key = caller.namespace, short, name
        found.setdefault(key, Row(*key)).pods.append(pod)
    return list(found.values())


async def _list(cluster: Cluster, resource: Resource, namespace: str | None, unknown: list[str]) -> list[Object]:
    """What may be listed; where all namespaces may not, our own."""
    try:
        return (await cluster.list(resource, namespace)).items
    except Forbidden as error:
        if namespace is None:
            unknown.append(f"{resource.plural} outside of namespace {cluster.namespace}: {error.message}")
            return await _list(cluster, resource, cluster.namespace, unknown)
        unknown.append(f"{resource.plural} of namespace {namespace}: {error.message}")
    except ApiError as error:
        unknown.append(f"{resource.plural}: {error.message}")
    return []


async def _fill_in(cluster: Cluster, rows: Sequence[Row], options: StatOptions) -> None:
    """Ask for every row, side by side."""
    gate = asyncio.Semaphore(AT_ONCE)
    sessions = await running() if options.source in ("", "session") else []
    there = await _prometheus(cluster, rows, options)
    async with asyncio.TaskGroup() as group:
        for row in rows:
            sources = _sources(cluster, row, options, sessions, there, gate)
            group.create_task(_ask(row, sources, options.window), name=f"figures of {row.title}")


async def _prometheus(cluster: Cluster, rows: Sequence[Row], options: StatOptions) -> Prometheus | None:
    """The one that was named, or the cluster's, where a proxy is there that it may know of."""
    if options.prometheus:
        return prometheus.at(options.prometheus)
    if options.source == "prometheus" or (not options.source and any(row.meshed for row in rows)):
        return await prometheus.in_cluster(cluster, cluster.namespace)
    return None


def _sources(
    cluster: Cluster,
    row: Row,
    options: StatOptions,
    sessions: Sequence[Running],
    there: Prometheus | None,
    gate: asyncio.Semaphore,
) -> list[Source]:
    """Those to ask for a row, the best first."""
    if options.prometheus and there is not None:
        return [there]
    query, found = row.query(options.window), list[Source]()
    for one in sessions:
        if (one.server, one.namespace, one.kind, one.name) == (cluster.server, row.namespace, query.kind, row.name):
            found.append(Observed(one))
    if options.source in ("", "proxies") and row.meshed:
        found.append(Proxies(cluster, row.pods, gate))
    if there is not None and (row.meshed or options.source == "prometheus"):
        found.append(_Gated(there, gate))
    return found


class _Gated:
    """A Prometheus that is asked for many workloads, but not for all at once."""

    def __init__(self, source: Prometheus, gate: asyncio.Semaphore) -> None:
        self.name = source.name
        self._source, self._gate = source, gate

    async def routes(self, query: Query) -> Table:
        """See `model.Source`."""
        async with self._gate:
            return await self._source.routes(query)


async def _ask(row: Row, sources: Sequence[Source], window: float) -> None:
    reasons = []
    for source in sources:
        try:
            row.table, row.source = await source.routes(row.query(window)), source.name
        except NoFigures as error:
            if error.unknown:
                reasons.append(str(error))
        except InterceptorError as error:
            reasons.append(error.message)
        except OSError as error:  # the session has just ended
            reasons.append(f"{source.name}: {error.strerror or error}")
        else:
            return
    row.unknown = "; ".join(reasons)
