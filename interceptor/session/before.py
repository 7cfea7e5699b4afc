"""The cluster's figures from before the swap, to be shown beside the local process's; `intercept` takes them.

Taken while the pods that are about to be exchanged still run: their mesh proxies know what they counted since they began.
Where those have nothing, a Prometheus may; without a mesh nobody has counted, and that is what is said. It never holds up
the swap, and its failure is a sentence, not an end.
"""

from __future__ import annotations

import asyncio

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.mesh.sources.model import INBOUND, NoFigures, Query, Table
from interceptor.session.pods import Pods
from interceptor.workload.kinds import WorkloadRef

WINDOW = 600.0  # seconds before the swap, where a Prometheus is asked
WITHIN = 20.0  # seconds for all of it
MISSING = "missing"

Before = dict[str, object]
"""For the control socket: a table for each direction, or MISSING with the reason."""


def nothing_yet() -> Before:
    """What is told until `take` has an answer."""
    return {MISSING: "they are being asked for"}


async def take(cluster: Cluster, ref: WorkloadRef, pods: Pods, before: Before) -> None:
    """Fill `before` in. Raises nothing that would end the session."""
    try:
        async with asyncio.timeout(WITHIN):
            await pods.until_seen()
            tables = await _tables(cluster, ref, pods)
    except NoFigures as error:
        before[MISSING] = str(error)
    except InterceptorError as error:
        before[MISSING] = error.message
    except TimeoutError:
        before[MISSING] = f"nobody answered within {WITHIN:.0f} s"
    else:
        from interceptor.mesh.sources.saved import table_to_json  # noqa: PLC0415  see _tables

        before.clear()
        before.update({query.direction: table_to_json(table) for query, table in tables})


async def _tables(cluster: Cluster, ref: WorkloadRef, pods: Pods) -> list[tuple[Query, Table]]:
    """For both directions. Raises NoFigures."""
    # Imported while the session waits for its objects, not before it begins.
    from interceptor.mesh.sources import prometheus  # noqa: PLC0415
    from interceptor.mesh.sources.proxies import Proxies, proxy_in  # noqa: PLC0415

    queries = [
        Query(ref.namespace, ref.kind.resource.kind, ref.name, WINDOW, outward=outward) for outward in (False, True)
    ]
    own = [pod.raw for pod in pods.by_name.values() if not pod.session]
    if not any(map(proxy_in, own)):  # then no Prometheus has figures either: they are the proxies'
        raise NoFigures(f"no pod of {queries[0].title} had a mesh proxy that counted")
    try:
        tables = await Proxies(cluster, own).so_far(queries)
        if any(route.total for table in tables for route in table.routes):
            return list(zip(queries, tables, strict=True))
        reason = f"the proxies of {queries[0].title} had counted no request"
    except NoFigures as error:
        reason = str(error)
    there = await prometheus.in_cluster(cluster, ref.namespace)
    if there is None:
        raise NoFigures(f"{reason}, and no Prometheus was found")
    found = []
    for query in queries:
        try:
            found.append((query, await there.routes(query)))
        except NoFigures as error:
            if query.direction == INBOUND:
                raise NoFigures(f"{reason}; {error}") from error
    return found
