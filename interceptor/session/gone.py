"""Why a session's ground is gone: the error that ends it says what it met first, this says what happened.

`intercept` asks once, before it passes the error on. Deleting a namespace deletes all that is in it in no order; deleting
the session object takes the Lease along; agents that lost us end the session themselves. Looking takes no right that the
session does not need anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, Forbidden, NotFound, Unreachable
from interceptor.kube.resources import JOBS, LEASES, PODS, Resource
from interceptor.session.plan import Plan
from interceptor.session.pods import Pods
from interceptor.swap import record_of
from interceptor.workload import objects
from interceptor.workload.kinds import POD
from interceptor.workload.lease import TakenOver
from interceptor.workload.life import session_of

LOOK_WITHIN = 2.0  # seconds; whoever waits for the reason waits for the end
_AGAIN = "to intercept again, run the same command"


class NamespaceEnds(InterceptorError):
    """There is nothing to restore: whatever is put back is deleted, and no new pod is admitted."""


async def explain(cluster: Cluster, plan: Plan, error: Exception) -> Exception:
    """What happened, where one of the session's objects is gone; else the error as it is."""
    if not isinstance(error, InterceptorError) or isinstance(error, TakenOver):
        return error
    try:
        async with asyncio.timeout(LOOK_WITHIN):
            return await _look(cluster, plan) or error
    except (ApiError, Unreachable, TimeoutError):
        return error  # the error speaks for itself then


async def watch_namespace(cluster: Cluster, plan: Plan, pods: Pods, on_end: Callable[[InterceptorError], None]) -> None:
    """End the session when its namespace is being deleted; ends then, or by being cancelled.

    A cluster waits 5 s before it begins (Kubernetes' namespace controller), then deletes the pods and waits for their end,
    before it touches anything else: an agent's pod that ends is the first sign, and so the moment to ask.
    """
    asked: set[str] = set()

    def news() -> set[str]:
        ending = (pod for pod in pods.by_name.values() if pod.session == plan.names.session and pod.ending)
        return {pod.uid for pod in ending} - asked

    while True:
        await pods.until(lambda: bool(news()))
        asked &= {pod.uid for pod in pods.by_name.values()}
        asked |= news()
        try:
            if await _is_ending(cluster, plan):
                on_end(_namespace_ends(plan))
                return
        except (ApiError, Unreachable):
            continue  # then its other signs tell


def _namespace_ends(plan: Plan) -> NamespaceEnds:
    hint = "nothing is left to restore; intercept in another with -n NAMESPACE"
    return NamespaceEnds(f"the namespace {plan.names.namespace} is being deleted by somebody", hint=hint)


async def _look(cluster: Cluster, plan: Plan) -> InterceptorError | None:
    names, title = plan.names, plan.title
    if await _is_ending(cluster, plan):
        return _namespace_ends(plan)
    taker = await _taker(cluster, plan)
    if taker is not None:
        return taker
    try:
        workload = await cluster.get(names.ref.resource, names.namespace, names.ref.object)
    except NotFound:
        if names.kind is POD and not await _is_gone(cluster, PODS, names.namespace, names.workload):
            return _restored_by_agents(title)  # only its stand-in is gone
        hint = "when it is there again, run the same command"
        return InterceptorError(f"{title} was deleted by somebody", hint=hint)
    record = record_of(workload)
    held = record is not None and record.session == names.session
    if await _is_gone(cluster, JOBS, names.namespace, names.object):
        if held:
            return InterceptorError(f"the session object {names.object} was deleted by somebody", hint=_AGAIN)
        if record is None:
            return _restored_by_agents(title)
    elif held and await _is_gone(cluster, LEASES, names.namespace, names.lease):
        return InterceptorError(f"the lease {names.lease} was deleted by somebody", hint=_AGAIN)
    return None


def _restored_by_agents(title: str) -> InterceptorError:
    return InterceptorError(f"{title} was restored by its agents: they had lost this program", hint=_AGAIN)


async def _taker(cluster: Cluster, plan: Plan) -> InterceptorError | None:
    """Who has the lock by now, if somebody else has."""
    names = plan.names
    try:
        found = await cluster.get(LEASES, names.namespace, names.lease)
    except NotFound:
        return None
    return None if session_of(found) == names.session else TakenOver.by(found)


async def _is_gone(cluster: Cluster, resource: Resource, namespace: str, name: str) -> bool:
    try:
        found = await cluster.get(resource, namespace, name)
    except NotFound:
        return True
    return "deletionTimestamp" in found["metadata"]


async def _is_ending(cluster: Cluster, plan: Plan) -> bool:
    """Ask to create something, for nothing but the answer: reading namespaces is a right that not everybody has."""
    names = plan.names
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": names.object, "uid": "none"}
    lease = objects.lease(names, owner, plan.swap.holder, datetime.now(UTC), 1)
    lease["metadata"] |= {"name": f"{names.object}-ending", "ownerReferences": []}
    try:
        await cluster.create(LEASES, names.namespace, lease, dry_run=True)
    except NotFound:
        return True
    except Forbidden as error:
        return "is being terminated" in error.message
    return False
