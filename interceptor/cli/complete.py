"""Names from the cluster for the shell's completion; `cli.intercept` asks here when Tab is pressed on a target.

A Tab has no place for an error and no patience: whatever goes wrong, or takes longer than two seconds, completes
to nothing.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, load_access
from interceptor.kube.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)

_PATIENCE = 2.0
_KINDS = {
    word: resource
    for resource, words in {
        DEPLOYMENTS: ("deploy", "deployment", "deployments"),
        SERVICES: ("svc", "service", "services"),
        STATEFUL_SETS: ("sts", "statefulset", "statefulsets"),
        DAEMON_SETS: ("ds", "daemonset", "daemonsets"),
        REPLICA_SETS: ("rs", "replicaset", "replicasets"),
        PODS: ("po", "pod", "pods"),
    }.items()
    for word in words
}


def targets(typed: Mapping[str, Any], incomplete: str) -> list[str]:
    """Complete a target: bare names from the Deployments, `svc/...`, `sts/...` and so on from what they name."""
    kind, slash, _ = incomplete.rpartition("/")
    if slash and kind not in _KINDS:
        return []
    names = _ask(_KINDS.get(kind, DEPLOYMENTS), typed)
    spelled = [f"{kind}/{name}" for name in names] if slash else [*(f"deploy/{name}" for name in names), *names]
    return [name for name in spelled if name.startswith(incomplete)]


def _ask(resource: Resource, typed: Mapping[str, Any]) -> list[str]:
    try:
        return asyncio.run(_names(resource, typed))
    except (InterceptorError, TimeoutError):
        return []


async def _names(resource: Resource, typed: Mapping[str, Any]) -> list[str]:
    access = load_access(
        typed.get("kubeconfig"),
        typed.get("context"),
        namespace=typed.get("namespace"),
        as_user=typed.get("as_user") or "",
        as_groups=tuple(typed.get("as_groups") or ()),
    )
    async with asyncio.timeout(_PATIENCE), Cluster(access) as cluster:
        found = await cluster.list(resource, cluster.namespace)
    return sorted(item["metadata"]["name"] for item in found.items)
