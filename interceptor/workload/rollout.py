"""Waits while a workload's controller exchanges its pods; `session` calls it after the swap and after the undo.

kubectl's `rollout status`. Where no controller exchanges pods (`OnDelete`, ReplicaSets, bare pods), `session.exchange` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError
from interceptor.swap import SESSION_ANNOTATION
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.preflight import rollout_condition

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]


class RolloutFailed(InterceptorError):
    """The pods did not become what the template says."""


def session_of(pod: Object) -> str | None:
    """The session whose agent runs in a pod."""
    annotation = (pod["metadata"].get("annotations") or {}).get(SESSION_ANNOTATION)
    return None if annotation is None else str(annotation)


def unfinished(workload: Object) -> str | None:
    """What a rollout still waits for, None when it is done; kubectl judges by the same numbers."""
    status = workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return "the cluster has not seen the change yet"
    match workload.get("kind"):
        case "StatefulSet":
            return _stateful(workload, status)
        case "DaemonSet":
            return _daemon(status)
        case "ReplicaSet":
            wanted, total = workload["spec"].get("replicas", 1), status.get("replicas", 0)
            return _compare(wanted, total, total, status.get("availableReplicas", 0))
    wanted = workload["spec"].get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    return _compare(wanted, updated, total, status.get("availableReplicas", 0))


def _compare(wanted: int, updated: int, total: int, available: int) -> str | None:
    if updated < wanted:
        return f"{updated} of {wanted} new pods exist"
    if total > updated:
        return f"{total - updated} old pods are left"
    if available < updated:
        return f"{available} of {updated} new pods are available"
    return None


def _stateful(workload: Object, status: Object) -> str | None:
    """Pods below the partition stay as they are, and then the controller never calls the rollout complete."""
    wanted, partition = workload["spec"].get("replicas", 1), partition_of(workload)
    concerned = max(wanted - partition, 0)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < concerned:
        return f"{updated} of {concerned} new pods exist"
    if available < wanted:
        return f"{available} of {wanted} pods are available"
    if not partition and status.get("currentRevision") != status.get("updateRevision"):
        return "the cluster has not closed the rollout yet"
    return None


def exchanging(workload: Object) -> bool:
    """Whether a StatefulSet's or DaemonSet's controller has pods of an older template left to exchange."""
    status = workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return True
    if workload.get("kind") == "DaemonSet":
        return bool(status.get("updatedNumberScheduled", 0) < status.get("desiredNumberScheduled", 0))
    concerned = max(workload["spec"].get("replicas", 1) - partition_of(workload), 0)
    return bool(status.get("updatedReplicas", 0) < concerned)


def partition_of(workload: Object) -> int:
    """The ordinal below which a StatefulSet's pods are not updated."""
    strategy = workload["spec"].get("updateStrategy") or {}
    return int((strategy.get("rollingUpdate") or {}).get("partition") or 0)


def _daemon(status: Object) -> str | None:
    wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
    if updated < wanted:
        return f"{updated} of {wanted} new pods exist"
    available = status.get("numberAvailable", 0)
    return f"{available} of {wanted} new pods are available" if available < wanted else None


async def wait_rolled_out(cluster: Cluster, ref: WorkloadRef, *, within: float) -> None:
    """Return when every pod is of the current template."""
    last = "the cluster gave no answer"

    def hear(text: str) -> None:
        nonlocal last
        last = text

    try:
        async with asyncio.timeout(within):
            await _until_finished(cluster, ref, hear)
    except TimeoutError as error:
        raise RolloutFailed(
            f"the rollout of {ref.title} took longer than {within:.0f} s: {last}",
            hint=f"see kubectl describe {ref.title} -n {ref.namespace}",
        ) from error


async def _until_finished(cluster: Cluster, ref: WorkloadRef, hear: Callable[[str], None]) -> None:
    watch = cluster.watch(ref.resource, ref.namespace, field_selector=f"metadata.name={ref.object}")
    there = False
    async with aclosing(watch) as events:
        async for event in events:
            if event.type == "DELETED" or not (there or event.object):  # gone now, or before the first list
                raise RolloutFailed(
                    f"{ref.title} was deleted meanwhile", hint=f"see kubectl get events -n {ref.namespace}"
                )
            there = True
            if event.type == "SYNCED":
                continue
            state = unfinished(event.object)
            if state is None:
                return
            hear(state)
            progressing = rollout_condition(event.object, "Progressing")
            if progressing.get("reason") == "ProgressDeadlineExceeded":
                raise RolloutFailed(
                    f"the rollout of {ref.title} is stuck: {progressing.get('message', state)}",
                    hint=f"see kubectl describe {ref.title} -n {ref.namespace}",
                )
    raise AssertionError("a watch ends by an error only")
