"""Figures by route of a workload, from the best source there is; `cli.routes` calls `measure` and prints the table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.mesh.sources import prometheus
from interceptor.mesh.sources.model import AGAIN, NoFigures, Query, Source, Table
from interceptor.mesh.sources.observed import Observed
from interceptor.mesh.sources.proxies import Proxies
from interceptor.mesh.traffic.sockets import running
from interceptor.session.access import open_cluster, ref_for
from interceptor.session.options import Access
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.podlist import list_pods
from interceptor.workload.target import resolve

SOURCES = ("session", "proxies", "prometheus")


@dataclass(frozen=True, slots=True)
class RoutesOptions:
    """One `interceptor routes`."""

    target: str
    to: str = ""  # a service: what TARGET asks of it
    caller: str = ""  # --from: a workload: what it asks of TARGET
    window: float = 30.0
    watch: bool = False
    source: str = ""  # one of SOURCES; "" for the first that has figures
    prometheus: str = ""
    access: Access = field(default_factory=Access)


async def measure(options: RoutesOptions) -> AsyncGenerator[Table, None]:
    """A table, or with `watch` one after the other. Raises InterceptorError."""
    asked, to = options.target, options.to
    if options.caller:  # the caller's proxy knows what it asked of TARGET
        asked, to = options.caller, options.target.rpartition("/")[2]  # the Service of its name
    ref = await ref_for(options.access, asked)
    query = Query(ref.namespace, ref.kind.resource.kind, ref.name, options.window, to)
    async with open_cluster(options.access) as cluster:
        while True:
            due = asyncio.get_running_loop().time() + min(options.window, AGAIN)
            yield await _first(await _sources(cluster, ref, query, options), query)
            if not options.watch:
                return
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


async def _sources(cluster: Cluster, ref: WorkloadRef, query: Query, options: RoutesOptions) -> list[Source]:
    """Those to ask, the best first."""
    found: list[Source] = []
    if options.prometheus:
        return [prometheus.at(options.prometheus)]
    if options.source in ("", "session"):
        for session in await running():
            same = (session.server, session.namespace, session.kind, session.name)
            if same == (cluster.server, ref.namespace, query.kind, ref.name):
                found.append(Observed(session))
    if options.source in ("", "proxies"):
        workload = await resolve(cluster, ref.namespace, ref.title)
        found.append(Proxies(cluster, await list_pods(cluster, ref, workload)))
    if options.source in ("", "prometheus"):
        there = await prometheus.in_cluster(cluster, ref.namespace)
        if there is not None:
            found.append(there)
    return found


async def _first(sources: list[Source], query: Query) -> Table:
    """The table of the first source that has one."""
    reasons = []
    for source in sources:
        try:
            return await source.routes(query)
        except NoFigures as error:
            reasons.append(str(error))
        except OSError as error:  # the session has just ended
            reasons.append(f"{source.name}: {error.strerror or error}")
    why = "; ".join(reasons) or "there is no session on this machine, no mesh and no Prometheus to ask"
    hint = "intercept it, or add it to a mesh; then its requests are counted"
    raise InterceptorError(f"nothing counts the requests of {query.title}: {why}", hint=hint)
