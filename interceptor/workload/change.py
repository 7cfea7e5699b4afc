"""Writes the swap to the cluster and takes it back; `session` registers `undo_swap` before it calls `apply_swap`.

Both read the fresh object, compute on it (`swap/`), and send a JSON Patch that the API server refuses when the object
changed in between: then everything starts over on the new state, so nobody's change is ever overwritten.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.kube.errors import Conflict, Forbidden, NotFound
from interceptor.swap import (
    SESSION_ANNOTATION,
    AlreadySwapped,
    SwapPlan,
    json_patch,
    precondition,
    restore,
    swap,
)
from interceptor.swap.record import record_of
from interceptor.workload.selectors import pods_query

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

_ATTEMPTS = 20
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True)
class Undone:
    """What taking back came to. `kept` names the places where somebody else's change stays.

    outcome: "restored" now; "nothing" where the workload carried no swap of ours; "gone" with the workload itself.
    """

    outcome: Literal["restored", "nothing", "gone"]
    kept: list[str] = field(default_factory=list)


async def apply_swap(cluster: Cluster, namespace: str, name: str, plan: SwapPlan) -> Object:
    """Put the agent in place; returns the Deployment as the cluster has it now."""
    for attempt in range(_ATTEMPTS):
        found = await cluster.get(resources.DEPLOYMENTS, namespace, name)
        try:
            swapped = swap(found, plan)
        except AlreadySwapped as error:
            if error.record.session == plan.session:
                return found  # an earlier patch arrived though its answer did not
            raise
        try:
            return await _send(cluster, namespace, name, found, swapped)
        except Conflict:
            await _pause(attempt)
    raise _contended(name)


async def undo_swap(cluster: Cluster, namespace: str, name: str, session: str | None) -> Undone:
    """Put back what the session (None: whichever) replaced. Safe to call at any time, any number of times."""
    for attempt in range(_ATTEMPTS):
        try:
            found = await cluster.get(resources.DEPLOYMENTS, namespace, name)
        except NotFound:
            return Undone("gone")
        record = record_of(found)
        if record is None or (session is not None and record.session != session):
            return Undone("nothing")
        restored, kept = restore(found, session)
        try:
            await _send(cluster, namespace, name, found, restored)
        except NotFound:
            return Undone("gone")
        except Conflict:
            await _pause(attempt)
            continue
        return Undone("restored", kept)
    raise _contended(name)


async def forget_revision(cluster: Cluster, namespace: str, workload: Object, session: str) -> bool:
    """Delete the agent's ReplicaSet once it has no pods, so that `kubectl rollout undo` can't bring the agent back.

    False where the user may not: the ReplicaSet then stays in the history until newer revisions push it out.
    """
    query = pods_query(workload)
    try:
        for item in (await cluster.list(resources.REPLICA_SETS, namespace, label_selector=query)).items:
            annotations = (item["spec"]["template"].get("metadata") or {}).get("annotations") or {}
            empty = not item["spec"].get("replicas") and not (item.get("status") or {}).get("replicas")
            if annotations.get(SESSION_ANNOTATION) == session and empty:
                metadata = item["metadata"]
                await cluster.delete(resources.REPLICA_SETS, namespace, metadata["name"], uid=metadata["uid"])
    except NotFound:
        return True  # somebody was faster
    except Forbidden:
        return False
    return True


def swap_patch(found: Object, plan: SwapPlan) -> list[Object]:
    """The operations `apply_swap` would send for this object; `--dry-run` prints them."""
    return json_patch(found, swap(found, plan))


async def _send(cluster: Cluster, namespace: str, name: str, found: Object, wanted: Object) -> Object:
    operations = [precondition(found["metadata"]["resourceVersion"]), *json_patch(found, wanted)]
    return await cluster.patch(resources.DEPLOYMENTS, namespace, name, operations)


async def _pause(attempt: int) -> None:
    """Wait a random while, longer each time: two writers that collide must not collide again."""
    await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.02 * 2**attempt)))  # noqa: S311 (no secret)


def _contended(name: str) -> InterceptorError:
    return InterceptorError(
        f"deploy/{name} changed under each of {_ATTEMPTS} attempts to write it",
        hint="something updates it all the time: see kubectl get deploy -w",
    )
