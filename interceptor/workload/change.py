"""Writes the swap to the cluster and takes it back; `session` registers `undo_swap` before it calls `apply_swap`.

Both read the fresh object, compute on it (`swap/`), and send a JSON Patch that the API server refuses when the object
changed in between: then everything starts over on the new state, so nobody's change is ever overwritten.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from interceptor.errors import InterceptorError
from interceptor.kube.errors import Conflict, Forbidden, NotFound
from interceptor.swap import (
    SESSION_ANNOTATION,
    SWAP_ANNOTATION,
    AlreadySwapped,
    SwapPlan,
    first_write,
    json_patch,
    precondition,
    restore,
    settled,
    swap,
    with_record_of,
)
from interceptor.swap.record import record_of
from interceptor.workload.kinds import POD, WorkloadRef
from interceptor.workload.podlist import list_pods
from interceptor.workload.rollout import session_of
from interceptor.workload.selectors import pods_query
from interceptor.workload.stand_in import bring_back, stand_in

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


async def _nothing() -> None:
    """Nothing comes before the swap."""


async def apply_swap(
    cluster: Cluster,
    ref: WorkloadRef,
    plan: SwapPlan,
    just_before: Callable[[], Awaitable[None]] = _nothing,
    *,
    seen: Object | None = None,
) -> Object:
    """Put the agent in place; returns the object that carries the swap as the cluster has it now.

    `just_before` is awaited when only the one request is left that writes it. `seen` is the object as it was a moment ago:
    mostly it still is, and need not be read again.
    """
    if ref.kind is POD:
        return await stand_in(cluster, ref, plan, just_before)
    for attempt in range(_ATTEMPTS):
        found = seen if seen is not None else await cluster.get(ref.resource, ref.namespace, ref.object)
        seen = None
        try:
            swapped = swap(found, plan)
        except AlreadySwapped as error:
            if error.record.session == plan.session:
                return found  # an earlier patch arrived though its answer did not
            raise
        if not attempt:
            await just_before()
        try:
            stored = await _send(cluster, ref, found, swapped)
        except Conflict:
            await _pause(attempt)
            continue
        return await _settle(cluster, ref, stored)
    raise _contended(ref)


async def _settle(cluster: Cluster, ref: WorkloadRef, stored: Object) -> Object:
    """Have the record say what an admission webhook made of the swap; whatever was written since stays as it is."""
    wanted = settled(stored)
    if wanted is None:
        return stored
    operations = json_patch(stored, wanted)  # one: the annotation's
    tests = [
        {"op": "test", "path": operation["path"], "value": stored["metadata"]["annotations"][SWAP_ANNOTATION]}
        for operation in operations
    ]
    return await cluster.patch(ref.resource, ref.namespace, ref.object, [*tests, *operations])


async def undo_swap(
    cluster: Cluster, ref: WorkloadRef, session: str | None, *, remembered: Object | None = None
) -> Undone:
    """Put back what the session (None: whichever) replaced. Safe to call at any time, any number of times.

    `remembered` is a bare pod as we found it, should its stand-in have been deleted; else the workload as the swap left
    it, should somebody have removed the record and left the agent.
    """
    if ref.kind is POD:
        return Undone("restored" if await bring_back(cluster, ref, remembered) else "nothing")
    for attempt in range(_ATTEMPTS):
        try:
            found = await cluster.get(ref.resource, ref.namespace, ref.object)
        except NotFound:
            return Undone("gone")
        told = found if remembered is None else with_record_of(remembered, found)
        record = record_of(told)
        if record is None or (session is not None and record.session != session):
            return Undone("nothing")
        kept = restore(told, session).kept
        try:
            first = first_write(told, session)
            if first is not None:
                found = told = await _send(cluster, ref, found, first)
            await _send(cluster, ref, found, restore(told, session).workload)
        except NotFound:
            return Undone("gone")
        except Conflict:
            await _pause(attempt)
            continue
        return Undone("restored", kept)
    raise _contended(ref)


async def forget_revision(cluster: Cluster, ref: WorkloadRef, workload: Object, session: str) -> bool:
    """Delete the agent's template from the history, so that `kubectl rollout undo` can't bring the agent back.

    Only once no pod is of it: controllers still need it until then. False where the user may not: it then stays in the
    history until newer revisions push it out.
    """
    if ref.kind.history is None:
        return True
    try:
        for pod in await list_pods(cluster, ref, workload):
            if session_of(pod) == session and "deletionTimestamp" not in pod["metadata"]:
                return False
        listing = await cluster.list(ref.kind.history, ref.namespace, label_selector=pods_query(workload))
        for item in listing.items:
            if _remembers(item, session):
                metadata = item["metadata"]
                await cluster.delete(ref.kind.history, ref.namespace, metadata["name"], uid=metadata["uid"])
    except NotFound:
        return True  # somebody was faster
    except Forbidden:
        return False
    return True


def _remembers(item: Object, session: str) -> bool:
    """Whether a ReplicaSet or ControllerRevision holds the template of a session's agents, and runs no pod."""
    template = ((item.get("data") or item).get("spec") or {}).get("template") or {}
    if ((template.get("metadata") or {}).get("annotations") or {}).get(SESSION_ANNOTATION) != session:
        return False
    return not (item.get("spec") or {}).get("replicas") and not (item.get("status") or {}).get("replicas")


def swap_patch(found: Object, plan: SwapPlan) -> list[Object]:
    """The operations `apply_swap` would send for this object; `--dry-run` prints them."""
    return json_patch(found, swap(found, plan))


async def _send(cluster: Cluster, ref: WorkloadRef, found: Object, wanted: Object) -> Object:
    operations = [precondition(found["metadata"]["resourceVersion"]), *json_patch(found, wanted)]
    return await cluster.patch(ref.resource, ref.namespace, ref.object, operations)


async def _pause(attempt: int) -> None:
    """Wait a random while, longer each time: two writers that collide must not collide again."""
    await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.02 * 2**attempt)))  # noqa: S311 (no secret)


def _contended(ref: WorkloadRef) -> InterceptorError:
    return InterceptorError(
        f"{ref.title} changed under each of {_ATTEMPTS} attempts to write it",
        hint=f"something updates it all the time: see kubectl get {ref.title} -n {ref.namespace} -w",
    )
