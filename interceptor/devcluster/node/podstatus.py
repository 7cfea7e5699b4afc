"""A pod's status from what its containers are doing; called by `pod` at every change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interceptor.devcluster.objects import Object, timestamp

if TYPE_CHECKING:
    from interceptor.devcluster.node.pod import PodWorker


def phase(worker: PodWorker) -> str:
    """Return status.phase."""
    states = [container.state for container in worker.containers]
    if any(not item.succeeded and "terminated" in item.state and worker.policy == "Never" for item in worker.init):
        return "Failed"
    if not worker.initialized or any("waiting" in item.state and not item.last_state for item in worker.containers):
        return "Pending"
    ended = all("terminated" in state for state in states)
    final = worker.policy == "Never" or (
        worker.policy == "OnFailure" and all(item.succeeded for item in worker.containers)
    )
    if ended and (final or worker.stopping):
        return "Succeeded" if all(item.succeeded for item in worker.containers) else "Failed"
    return "Running"


def pod_status(worker: PodWorker, before: Object) -> Object:
    """Return the whole status; conditions keep their times while they stay as they are."""
    ready = bool(worker.containers) and all(container.ready for container in worker.containers) and worker.initialized
    done = phase(worker) == "Succeeded"
    unready = [container.name for container in worker.containers if not container.ready]
    why = None if ready else ("PodCompleted" if done else "ContainersNotReady")
    words = "" if ready or done else f"containers with unready status: [{' '.join(unready)}]"
    wanted = [
        ("PodReadyToStartContainers", True, None, ""),
        ("Initialized", worker.initialized, None if worker.initialized else "ContainersNotInitialized", ""),
        ("Ready", ready, why, words),
        ("ContainersReady", ready, why, words),
        ("PodScheduled", worker.scheduled, None, ""),
    ]
    known = {item["type"]: item for item in before.get("conditions") or ()}
    conditions = []
    for kind, holds, reason, message in wanted:
        value = "True" if holds else "False"
        old = known.get(kind)
        item: Object = {
            "type": kind,
            "status": value,
            "lastProbeTime": None,
            "lastTransitionTime": old["lastTransitionTime"] if old and old["status"] == value else timestamp(),
        }
        if reason:
            item["reason"] = reason
        if message:
            item["message"] = message
        conditions.append(item)
    status: Object = before | {
        "phase": phase(worker),
        "conditions": conditions,
        "hostIP": worker.host_ip,
        "hostIPs": [{"ip": worker.host_ip}],
        "podIP": worker.address,
        "podIPs": [{"ip": worker.address}],
        "startTime": worker.started_at,
        "containerStatuses": [container.status() for container in worker.containers],
    }
    if worker.init:
        status["initContainerStatuses"] = [container.status() for container in worker.init]
    return status
