"""A ReplicaSet's pods exchanged without a gap: one is given away, so that another is made beside it. `exchange` calls.

A ReplicaSet counts the pods that it owns. A pod that is given to the session's Lease instead keeps its labels, so it
goes on serving while the ReplicaSet makes another in its place; then it is deleted. If we die in between, the garbage
collector deletes it together with the session. Where that fails (a quota, a missing right) it is deleted first.
"""

from __future__ import annotations

import asyncio
from typing import Any

from interceptor.kube import Cluster, Conflict, Forbidden, NotFound
from interceptor.kube.errors import Invalid
from interceptor.kube.resources import LEASES, PODS, REPLICA_SETS
from interceptor.session.hand import Hand
from interceptor.swap.exchange import ready, wanted
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.names import lease_name
from interceptor.workload.preflight import rollout_condition

Object = dict[str, Any]

LONGEST_STEP = 60.0  # seconds for a pod to serve before the way back goes on without it


async def give_away(
    cluster: Cluster, ref: WorkloadRef, hand: Hand, pod: Object, over: asyncio.Event, *, back: bool
) -> bool:
    """Let the ReplicaSet make another pod while this one serves; False where that does not work here."""
    metadata = pod["metadata"]
    try:
        lease = await cluster.get(LEASES, ref.namespace, _lease(ref))
        owner = {
            "apiVersion": LEASES.group_version,
            "kind": LEASES.kind,
            "name": _lease(ref),
            "uid": lease["metadata"]["uid"],
            "controller": True,
        }
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "replace", "path": "/metadata/ownerReferences", "value": [owner]},
        ]
        await cluster.patch(PODS, ref.namespace, metadata["name"], patch)
    except (Forbidden, NotFound, Conflict, Invalid):
        return False
    deadline = asyncio.get_running_loop().time() + LONGEST_STEP
    while back or not over.is_set():
        found = await cluster.get(REPLICA_SETS, ref.namespace, ref.object)
        others = [one for one in hand.alive() if one["metadata"]["uid"] != metadata["uid"]]
        if sum(map(ready, others)) >= wanted(found):
            return True
        if rollout_condition(found, "ReplicaFailure").get("status") == "True":
            return False
        if back and asyncio.get_running_loop().time() > deadline:
            return True
        await hand.pause()
    return True


async def delete_given_away(ref: WorkloadRef, hand: Hand) -> None:
    """Pods of the app that the session still owned when it was ended half-way."""
    for pod in hand.alive():
        owners = pod["metadata"].get("ownerReferences") or []
        if any(o.get("controller") and (o["kind"], o["name"]) == (LEASES.kind, _lease(ref)) for o in owners):
            await hand.delete(pod)


def _lease(ref: WorkloadRef) -> str:
    return lease_name(ref.kind.resource.kind, ref.name)
