"""Waits while a Deployment's pods are exchanged; `session` calls it after the swap and after the undo.

kubectl's `rollout status`, and on wish also the certainty that no pod of a session is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.swap import SESSION_ANNOTATION
from interceptor.workload.preflight import rollout_condition
from interceptor.workload.selectors import pods_query

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]


class RolloutFailed(InterceptorError):
    """The pods did not become what the template says."""


def session_of(pod: Object) -> str | None:
    """The session whose agent runs in a pod."""
    annotation = (pod["metadata"].get("annotations") or {}).get(SESSION_ANNOTATION)
    return None if annotation is None else str(annotation)


def unfinished(deployment: Object) -> str | None:
    """What a rollout still waits for, None when it is done; kubectl judges by the same numbers."""
    status = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "the cluster has not seen the change yet"
    if updated < wanted:
        return f"{updated} of {wanted} new pods exist"
    if total > updated:
        return f"{total - updated} old pods are left"
    if available < updated:
        return f"{available} of {updated} new pods are available"
    return None


async def wait_rolled_out(
    cluster: Cluster, namespace: str, name: str, *, within: float, without_session: str | None = None
) -> None:
    """Return when every pod is of the current template, and no pod of `without_session` exists any more."""
    last = "the cluster gave no answer"

    def hear(text: str) -> None:
        nonlocal last
        last = text

    try:
        async with asyncio.timeout(within):
            deployment = await _until_finished(cluster, namespace, name, hear)
            if without_session is not None:
                await _until_gone(cluster, namespace, deployment, without_session, hear)
    except TimeoutError as error:
        raise RolloutFailed(
            f"the rollout of deploy/{name} took longer than {within:.0f} s: {last}",
            hint=f"see kubectl describe deploy/{name} -n {namespace}",
        ) from error


async def _until_finished(cluster: Cluster, namespace: str, name: str, hear: Callable[[str], None]) -> Object:
    watch = cluster.watch(resources.DEPLOYMENTS, namespace, field_selector=f"metadata.name={name}")
    async with aclosing(watch) as events:
        async for event in events:
            if event.type == "SYNCED":
                continue
            if event.type == "DELETED":
                raise RolloutFailed(f"deploy/{name} was deleted meanwhile")
            state = unfinished(event.object)
            if state is None:
                return event.object
            hear(state)
            progressing = rollout_condition(event.object, "Progressing")
            if progressing.get("reason") == "ProgressDeadlineExceeded":
                raise RolloutFailed(f"the rollout of deploy/{name} is stuck: {progressing.get('message', state)}")
    raise RolloutFailed(f"the watch of deploy/{name} ended")


async def _until_gone(
    cluster: Cluster, namespace: str, deployment: Object, session: str, hear: Callable[[str], None]
) -> None:
    left: set[str] = set()
    synced = False
    watch = cluster.watch(resources.PODS, namespace, label_selector=pods_query(deployment))
    async with aclosing(watch) as events:
        async for event in events:
            if event.type == "SYNCED":
                synced = True
            elif event.type == "DELETED":
                left.discard(event.object["metadata"]["name"])
            elif session_of(event.object) == session:
                left.add(event.object["metadata"]["name"])
            if synced and not left:
                return
            hear(f"{len(left)} agent pods are still ending")
