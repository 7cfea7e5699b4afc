"""Lets the agents tidy the revision history, should they have to heal alone; `intercept` runs it beside everything else.

A Deployment keeps the ReplicaSet of each of its templates (others a ControllerRevision), so `kubectl rollout undo` after a
healed session would start agents whose files are gone. The agents may delete that one and no other: RBAC wants its name,
which only the cluster gives it. So their Role is extended as soon as their first pod tells it. A client killed in that
moment leaves it in the history, as does a user who may not change Roles or delete what keeps the history.
"""

from __future__ import annotations

import asyncio

from interceptor.kube import ApiError, Cluster, Forbidden, NotFound, Unreachable
from interceptor.kube.resources import ROLES
from interceptor.session.pods import Pods
from interceptor.swap.history import revision_of
from interceptor.workload.objects import SessionNames


async def allow_forgetting(cluster: Cluster, names: SessionNames, pods: Pods) -> None:
    """Follow the agents' pods until cancelled; each template of theirs (somebody may edit it) has an entry."""
    allowed: set[str] = set()
    history = names.kind.history
    while history is not None:
        told = (revision_of(pod.raw, names.kind.resource.kind) for pod in pods.agents(names.session))
        found = {one.name for one in told if one is not None} - allowed
        if found:
            rule = {
                "apiGroups": [history.group],
                "resources": [history.plural],
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
