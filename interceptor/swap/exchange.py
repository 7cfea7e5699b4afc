"""Which pod to delete next where no controller exchanges pods by itself; the client and the guard in the pod ask. Pure.

Controllers roll a changed template out for Deployments, and for StatefulSets and DaemonSets with `RollingUpdate`. With
`OnDelete`, and for a ReplicaSet of its own, pods stay as they are until somebody deletes them. Then it is done here, one
after the other, each only when all others serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Object = dict[str, Any]


class Next(NamedTuple):
    """`pod` is to be deleted now; neither `pod` nor `done` means: wait for a change. Done is it when the new ones serve."""

    pod: Object | None
    done: bool


def by_hand(workload: Object) -> bool:
    """Whether its controller leaves pods of an older template alone."""
    if workload.get("kind") == "ReplicaSet":
        return True
    strategy = workload["spec"].get("updateStrategy") or {}
    return workload.get("kind") in ("StatefulSet", "DaemonSet") and strategy.get("type") == "OnDelete"


def waits_for_unready(workload: Object) -> bool:
    """Whether its controller goes no further while a pod is not ready, also one of a template that was taken back.

    An ordered StatefulSet does: then whoever takes the template back has to remove such pods too.
    https://github.com/kubernetes/kubernetes/issues/67250
    """
    return workload.get("kind") == "StatefulSet" and workload["spec"].get("podManagementPolicy") != "Parallel"


def wanted(workload: Object) -> int:
    """How many pods there are to be."""
    if workload.get("kind") == "DaemonSet":
        return int((workload.get("status") or {}).get("desiredNumberScheduled", 1))
    replicas = workload["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def next_pod(workload: Object, pods: Iterable[Object], is_old: Callable[[Object], bool], hurry: bool = False) -> Next:
    """The pod to delete. One that serves nobody goes at once, the others when enough of them serve, or in a `hurry`.

    The order is a StatefulSet's own: the highest number first.
    """
    if not by_hand(workload):
        if waits_for_unready(workload):
            return _stuck(pods, is_old)
        return Next(None, done=True)
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    old = sorted((pod for pod in alive if is_old(pod)), key=_order, reverse=True)
    for pod in old:
        if not ready(pod):
            return Next(pod, done=False)
    enough = sum(map(ready, alive)) >= wanted(workload)
    if not old:
        return Next(None, done=enough)
    return Next(old[0] if hurry or enough else None, done=False)


def _stuck(pods: Iterable[Object], is_old: Callable[[Object], bool]) -> Next:
    """Only what keeps the controller from going on; it does the rest itself."""
    old = [pod for pod in pods if is_old(pod)]
    for pod in old:
        if not ready(pod) and "deletionTimestamp" not in pod["metadata"]:
            return Next(pod, done=False)
    return Next(None, done=not old)


def ready(pod: Object) -> bool:
    """Whether a pod gets requests."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _order(pod: Object) -> tuple[int, str]:
    name: str = pod["metadata"]["name"]
    number = name.rpartition("-")[2]
    return (int(number) if number.isdigit() and number.isascii() else -1, name)
