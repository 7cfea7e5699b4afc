"""Puts a ReplicaSet of the session in a bare pod's place, and the pod back; `change` calls it for that kind.

The pod itself is deleted only once the agent is ready (`session.exchange`), and created again before the agent ends: so
no request is lost, and there is no moment at which nobody could bring it back. `swap.pod` has the bodies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.kube.errors import AlreadyExists, Forbidden, NotFound
from interceptor.swap import SWAP_ANNOTATION, SwapPlan, swap
from interceptor.swap.pod import POD_ANNOTATION, carried, carrier, lift
from interceptor.workload.kinds import POD, WorkloadRef, grace_of
from interceptor.workload.names import object_name
from interceptor.workload.objects import OURS, SessionNames, owner_reference

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

_LOOK_EVERY = 0.25
_LONGEST_END = 60.0  # seconds beyond its own grace period for a pod to vanish


async def stand_in(
    cluster: Cluster, ref: WorkloadRef, plan: SwapPlan, just_before: Callable[[], Awaitable[None]]
) -> Object:
    """Create what runs the agent; returns it as the cluster has it. See `change.apply_swap`."""
    pod = await cluster.get(resources.PODS, ref.namespace, ref.name)
    job = await cluster.get(resources.JOBS, ref.namespace, ref.object)
    body = stand_in_body(lift(pod), ref, plan, owner_reference(job))
    await just_before()
    try:
        return await cluster.create(resources.REPLICA_SETS, ref.namespace, body)
    except AlreadyExists:  # an earlier request arrived though its answer did not: the session's name is nobody else's
        return await cluster.get(resources.REPLICA_SETS, ref.namespace, ref.object)


def stand_in_body(lifted: Object, ref: WorkloadRef, plan: SwapPlan, owner: Object) -> Object:
    """What `stand_in` would create; `--dry-run` prints it."""
    labels = SessionNames(ref.session, ref.namespace, ref.name, ref.kind).labels
    return carrier(swap(lifted, plan), ref.object, labels, owner)


async def find_stand_in(cluster: Cluster, namespace: str, name: str) -> Object | None:
    """The pod as a session's stand-in remembers it, lifted and with that session's record; None where there is none."""
    try:
        items = (await cluster.list(resources.REPLICA_SETS, namespace, label_selector=OURS)).items
    except (Forbidden, NotFound):
        return None
    for item in items:
        pod = carried(item)
        if pod is not None and pod["metadata"]["name"] == name:
            lifted = lift({**pod, "metadata": {"uid": item["metadata"]["uid"], **pod["metadata"]}})
            annotations = lifted["metadata"].get("annotations") or {}
            record = item["metadata"]["annotations"][SWAP_ANNOTATION]
            lifted["metadata"]["annotations"] = {**annotations, SWAP_ANNOTATION: record}
            return lifted
    return None


async def stood_in_by(cluster: Cluster, namespace: str, session: str) -> WorkloadRef | None:
    """The pod that a session stands in for; None where it has another kind, or what it has may not be read."""
    try:
        found = await cluster.get(resources.REPLICA_SETS, namespace, object_name(session))
    except (Forbidden, NotFound):
        return None
    name = belongs_to_stand_in(found)
    return None if name is None else WorkloadRef(POD, namespace, name, session)


async def bring_back(cluster: Cluster, ref: WorkloadRef, remembered: Object | None) -> bool:
    """Create the pod again unless it is there; whether there was anything to undo.

    The cluster's own memory is the stand-in; `remembered` is ours, should somebody have deleted that one. It counts for
    nothing while another session's stand-in is there: that one looks after the pod now, and brings it back at its end.
    """
    try:
        found = await cluster.get(resources.REPLICA_SETS, ref.namespace, ref.object)
    except NotFound:
        found = None
    pod = (carried(found) if found is not None else None) or remembered
    if pod is None:
        return False
    created = False
    deadline = asyncio.get_running_loop().time() + _LONGEST_END + grace_of(pod)
    while True:
        existing = await _pod(cluster, ref)
        if existing is None:
            if found is None and await find_stand_in(cluster, ref.namespace, ref.name) is not None:
                return False
            try:
                await cluster.create(resources.PODS, ref.namespace, pod)
                created = True
            except AlreadyExists:
                continue
        elif "deletionTimestamp" in existing["metadata"]:
            if asyncio.get_running_loop().time() > deadline:
                raise InterceptorError(
                    f"{ref.title} has been ending for a long time and can't be created again before it is gone",
                    hint=f"see kubectl describe {ref.title} -n {ref.namespace}; then interceptor restore {ref.title}",
                )
            await asyncio.sleep(_LOOK_EVERY)
            continue
        return created or found is not None


async def remove_stand_in(cluster: Cluster, ref: WorkloadRef) -> None:
    """The pod serves again: the agent may go."""
    try:
        await cluster.delete(resources.REPLICA_SETS, ref.namespace, ref.object)
    except NotFound:
        return


def belongs_to_stand_in(item: Object) -> str | None:
    """The name of the pod that a ReplicaSet stands in for; also from its metadata alone."""
    if POD_ANNOTATION not in ((item.get("metadata") or {}).get("annotations") or {}):
        return None
    pod = carried(item)
    return None if pod is None else str(pod["metadata"]["name"])


async def _pod(cluster: Cluster, ref: WorkloadRef) -> Object | None:
    try:
        return await cluster.get(resources.PODS, ref.namespace, ref.name)
    except NotFound:
        return None
