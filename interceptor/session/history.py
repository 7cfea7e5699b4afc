"""Lets the agents tidy the revision history, should they have to heal alone; `intercept` runs it beside everything else.

A Deployment keeps the ReplicaSet of each of its templates, so `kubectl rollout undo` after a healed session would start
agents whose files are gone. The agents may delete that one ReplicaSet and no other: RBAC wants its name, which only the
cluster gives it. So their Role is extended as soon as their first pod names its owner. A client killed in that moment
leaves the empty ReplicaSet in the history, as does a user who may not change Roles or delete ReplicaSets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from interceptor.kube import ApiError, Cluster, Forbidden, NotFound, Unreachable
from interceptor.kube.resources import REPLICA_SETS, ROLES
from interceptor.session.pods import Pod, Pods
from interceptor.workload.objects import SessionNames


async def allow_forgetting(cluster: Cluster, names: SessionNames, pods: Pods) -> None:
    """Follow the agents' pods until cancelled; each template of theirs (somebody may edit it) has a ReplicaSet."""
    allowed: set[str] = set()
    while True:
        found = {owner for pod in pods.agents(names.session) for owner in _replica_sets(pod)} - allowed
        if found:
            rule = {
                "apiGroups": [REPLICA_SETS.group],
                "resources": [REPLICA_SETS.plural],
                "resourceNames": sorted(found),
                "verbs": ["delete"],
            }
            patch = [{"op": "add", "path": "/rules/-", "value": rule}]
            try:
                await cluster.patch(ROLES, names.namespace, names.object, patch)
            except (Forbidden, NotFound):
                return
            except (ApiError, Unreachable):
                await asyncio.sleep(1.0)
                continue
            allowed |= found
        await pods.changed()


def _replica_sets(pod: Pod) -> Iterator[str]:
    for owner in pod.raw["metadata"].get("ownerReferences") or []:
        if owner.get("controller") and owner["kind"] == REPLICA_SETS.kind:
            yield owner["name"]
