"""Follows a Deployment while its pods are exchanged; `session` opens a tunnel to every agent pod reported here.

`agent_pods` reports each pod of a session as it comes, gets ready and goes, for as long as the session lasts.
`wait_rolled_out` is kubectl's `rollout status`, and at the end also the certainty that no agent is left.
`trouble` watches the start and says in the pod's own words why it will not succeed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
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


@dataclass(frozen=True)
class AgentPod:
    """One pod of the session. `running`: the agent's container runs, a tunnel can be opened; `gone`: it is no more."""

    name: str
    uid: str
    running: bool
    ready: bool
    terminating: bool
    gone: bool
    restarts: int


def session_of(pod: Object) -> str | None:
    """The session whose agent runs in a pod."""
    annotation = (pod["metadata"].get("annotations") or {}).get(SESSION_ANNOTATION)
    return None if annotation is None else str(annotation)


def read_pod(pod: Object, container: str, *, gone: bool = False) -> AgentPod:
    """What matters of a pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    mine: Object = next((item for item in status.get("containerStatuses") or [] if item["name"] == container), {})
    conditions = status.get("conditions") or []
    ended = status.get("phase") in ("Succeeded", "Failed")  # evicted, or out of a node's resources
    return AgentPod(
        name=metadata["name"],
        uid=metadata["uid"],
        running=not gone and not ended and "running" in (mine.get("state") or {}),
        ready=not gone and any(item["type"] == "Ready" and item["status"] == "True" for item in conditions),
        terminating=gone or "deletionTimestamp" in metadata,
        gone=gone or ended,
        restarts=mine.get("restartCount", 0),
    )


async def agent_pods(
    cluster: Cluster, namespace: str, workload: Object, session: str, container: str
) -> AsyncGenerator[AgentPod, None]:
    """Every change of every agent pod, starting with those that are there. Ends only when it is closed."""
    known: dict[str, AgentPod] = {}
    watch = cluster.watch(resources.PODS, namespace, label_selector=pods_query(workload))
    async with aclosing(watch) as events:
        async for event in events:
            if event.type == "SYNCED" or session_of(event.object) != session:
                continue
            pod = read_pod(event.object, container, gone=event.type == "DELETED")
            if known.get(pod.uid) == pod:
                continue
            known[pod.uid] = pod
            if pod.gone:
                del known[pod.uid]
            yield pod


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
