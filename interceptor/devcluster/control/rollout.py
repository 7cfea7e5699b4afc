"""The arithmetic of a rolling update and the words of its conditions; called by `deployments`. Pure.

Follows the Deployment controller of Kubernetes: as many new pods as maxSurge allows, as many old ones away as
maxUnavailable allows, unhealthy old ones first. Not followed: proportional scaling of several ReplicaSets while a
rollout is under way.
"""

from __future__ import annotations

import math
from typing import Any

from interceptor.devcluster.objects import Object, name_of, seconds_since, timestamp


def _part(value: Any, total: int, *, up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * total / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value)


def surge_and_unavailable(deployment: Object) -> tuple[int, int]:
    """Return maxSurge and maxUnavailable as numbers of pods."""
    rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
    replicas: int = deployment["spec"]["replicas"]
    surge = _part(rolling.get("maxSurge", 0), replicas, up=True)
    unavailable = _part(rolling.get("maxUnavailable", 0), replicas, up=False)
    return surge, (1 if surge == 0 and unavailable == 0 else min(unavailable, replicas))


def available(replicaset: Object) -> int:
    """Return status.availableReplicas."""
    return int((replicaset.get("status") or {}).get("availableReplicas", 0))


def wanted(replicaset: Object) -> int:
    """Return spec.replicas."""
    return int(replicaset["spec"]["replicas"])


def new_size(deployment: Object, new: Object, old: list[Object]) -> int:
    """Return how many pods the new ReplicaSet shall have now."""
    replicas: int = deployment["spec"]["replicas"]
    if wanted(new) >= replicas:
        return replicas
    if deployment["spec"]["strategy"]["type"] == "Recreate":
        return replicas
    surge, _ = surge_and_unavailable(deployment)
    total = wanted(new) + sum(wanted(item) for item in old)
    room = replicas + surge - total
    return wanted(new) + max(0, min(room, replicas - wanted(new)))


def old_sizes(deployment: Object, new: Object, old: list[Object]) -> dict[str, int]:
    """Return how many pods each old ReplicaSet (by name) shall have now; only those that change."""
    sizes = {item["metadata"]["name"]: wanted(item) for item in old}
    if deployment["spec"]["strategy"]["type"] == "Recreate":
        return {name: 0 for name, size in sizes.items() if size}
    replicas: int = deployment["spec"]["replicas"]
    _, unavailable = surge_and_unavailable(deployment)
    floor = replicas - unavailable
    total = wanted(new) + sum(sizes.values())
    budget = total - floor - (wanted(new) - available(new))
    if budget <= 0:
        return {}
    before = dict(sizes)
    ordered = sorted(old, key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))
    for item in ordered:
        name = item["metadata"]["name"]
        unhealthy = min(budget, sizes[name] - min(available(item), sizes[name]))
        sizes[name] -= unhealthy
        budget -= unhealthy
    spare = available(new) + sum(min(available(item), sizes[item["metadata"]["name"]]) for item in old) - floor
    for item in ordered:
        name = item["metadata"]["name"]
        healthy = max(0, min(spare, sizes[name]))
        sizes[name] -= healthy
        spare -= healthy
    return {name: size for name, size in sizes.items() if size != before[name]}


def set_condition(status: Object, kind: str, value: str, reason: str, message: str) -> None:
    """Set a condition; times move only when something about it does."""
    conditions: list[Object] = status.setdefault("conditions", [])
    old = next((item for item in conditions if item["type"] == kind), None)
    if old and (old["status"], old["reason"], old["message"]) == (value, reason, message):
        return
    now = timestamp()
    new = {
        "type": kind,
        "status": value,
        "lastUpdateTime": now,
        "reason": reason,
        "message": message,
        "lastTransitionTime": old["lastTransitionTime"] if old and old["status"] == value else now,
    }
    if old is None:
        conditions.append(new)
    else:
        conditions[conditions.index(old)] = new


def drop_condition(status: Object, kind: str) -> None:
    """Remove a condition."""
    status["conditions"] = [item for item in status.get("conditions") or () if item["type"] != kind]


def counts(deployment: Object, new: Object | None, every: list[Object]) -> Object:
    """Return the numbers of a Deployment's status; zeros are left out, as Go does."""

    def total(field: str, items: list[Object]) -> int:
        return sum(int((item.get("status") or {}).get(field, 0)) for item in items)

    numbers = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": total("replicas", every),
        "updatedReplicas": total("replicas", [new] if new else []),
        "readyReplicas": total("readyReplicas", every),
        "availableReplicas": total("availableReplicas", every),
        "unavailableReplicas": max(0, sum(wanted(item) for item in every) - total("availableReplicas", every)),
    }
    return {name: number for name, number in numbers.items() if number}


def progress(deployment: Object, new: Object, before: Object, status: Object) -> float | None:
    """Judge the rollout: complete, moving, or stuck; return when to judge again."""
    replicas: int = deployment["spec"]["replicas"]
    named = f'ReplicaSet "{name_of(new)}"'
    complete = all(status.get(field, 0) == replicas for field in ("updatedReplicas", "replicas", "availableReplicas"))
    known = next((item for item in status["conditions"] if item["type"] == "Progressing"), None)
    if complete:
        if not (known and known["reason"] == "NewReplicaSetAvailable" and named in known["message"]):
            set_condition(
                status, "Progressing", "True", "NewReplicaSetAvailable", f"{named} has successfully progressed."
            )
        return None
    if (
        known
        and known["reason"] == "NewReplicaSetAvailable"
        and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    ):
        return None  # complete once; pods that fail now are no rollout
    moved = any(
        status.get(field, 0) > before.get(field, 0)
        for field in ("updatedReplicas", "readyReplicas", "availableReplicas")
    ) or (
        status.get("replicas", 0) - status.get("updatedReplicas", 0)
        < before.get("replicas", 0) - before.get("updatedReplicas", 0)
    )
    if moved or known is None:
        drop_condition(status, "Progressing")
        set_condition(status, "Progressing", "True", "ReplicaSetUpdated", f"{named} is progressing.")
        return float(deployment["spec"]["progressDeadlineSeconds"])
    if known["reason"] == "ProgressDeadlineExceeded":
        return None
    left = deployment["spec"]["progressDeadlineSeconds"] - seconds_since(known["lastUpdateTime"])
    if left > 0:
        return float(left)
    set_condition(status, "Progressing", "False", "ProgressDeadlineExceeded", f"{named} has timed out progressing.")
    return None
