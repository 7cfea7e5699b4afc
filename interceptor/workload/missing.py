"""The words for a target that isn't there, or is of a kind that can't be intercepted; `target` raises them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.kube.errors import Forbidden

if TYPE_CHECKING:
    from interceptor.kube import Cluster
    from interceptor.kube.resources import Resource

_WHY = {
    "Job": (
        "its pods do their work and end; nobody sends requests to them",
        "run its command on your machine, or intercept a service that it calls",
    ),
    "CronJob": (
        "its pods do their work and end; nobody sends requests to them",
        "run its command on your machine, or intercept a service that it calls",
    ),
    "ReplicationController": (
        "this old kind has no way to keep what a session replaced",
        "make it a Deployment: kubectl's documentation has the steps",
    ),
    "Node": (
        "a static pod: the kubelet makes it from a file on its node and undoes every change",
        "intercept a workload that lives in the API",
    ),
}


class NoSuchWorkload(InterceptorError):
    """Nothing of that name is there; the hint says what is."""


class Unsupported(InterceptorError):
    """It is there, but of a kind that can't be intercepted."""


def unsupported(kind: str, name: str, group_version: str = "", through: str = "") -> Unsupported:
    """Why a kind can't be intercepted; `through` is the pod or ReplicaSet that led to it."""
    known = _WHY.get(kind) if group_version in ("", "v1", "batch/v1") else None
    group = f" ({group_version})" if group_version and known is None else ""
    subject = f"{kind} {name}{group}"
    title = f"{through} belongs to {subject}, which" if through else subject
    why, hint = known or (
        "a kind that interceptor does not know; its controller would take the change back or spread it",
        "intercept a Deployment, StatefulSet, DaemonSet, ReplicaSet or bare pod",
    )
    return Unsupported(f"{title} can't be intercepted: {why}", hint=hint)


async def no_such(
    cluster: Cluster,
    title: str,
    namespace: str,
    name: str,
    kinds: tuple[Resource, ...] = (resources.DEPLOYMENTS, resources.SERVICES),
) -> NoSuchWorkload:
    """Say where it is instead, as far as this user may look."""
    message = f"no {title} {name!r} in namespace {namespace}"
    elsewhere: list[str] = []
    here: list[str] = []
    for resource in kinds:
        try:
            here += [item["metadata"]["name"] for item in (await cluster.list(resource, namespace)).items]
        except Forbidden:
            continue  # then there is nothing to suggest
        if (await cluster.allowed("list", resource, None))[0]:
            found = await cluster.list(resource, None, field_selector=f"metadata.name={name}")
            elsewhere += [item["metadata"]["namespace"] for item in found.items]
    if elsewhere:
        return NoSuchWorkload(message, hint=f"it is in namespace {min(elsewhere)}: add -n with its name")
    close = difflib.get_close_matches(name, sorted(set(here)), n=3)
    if close:
        return NoSuchWorkload(message, hint=f"did you mean {' or '.join(close)}?")
    if here:
        some = sorted(set(here))
        return NoSuchWorkload(message, hint=f"there is: {', '.join(some[:8])}{' ...' if len(some) > 8 else ''}")
    return NoSuchWorkload(
        message, hint=f"look with: kubectl get {','.join(kind.plural for kind in kinds)} -n {namespace}"
    )
