"""What the user must be allowed to do, asked before anything changes; `session` calls `missing` and tells the answer.

Every call of `workload` and `session` has its line here, and nothing else has: the Role printed by `role_yaml` is the
least that works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interceptor.errors import InterceptorError
from interceptor.kube import resources

if TYPE_CHECKING:
    from interceptor.kube import Cluster
    from interceptor.kube.resources import Resource

_AT_ONCE = 8  # questions under way: an API server limits how many requests one user has open


@dataclass(frozen=True)
class Right:
    """One verb on one resource. Where it isn't `required`, its lack only costs the comfort that `use` names."""

    verb: str
    resource: Resource
    subresource: str = ""
    name: str = ""
    required: bool = True
    use: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource.title(self.subresource or None)}"


def needed(workload: str, *, guard: bool = True, exec_in_pod: bool = True) -> list[Right]:
    """Everything one intercept of a Deployment calls, in the order of its steps."""
    rights = [
        *(Right(verb, resources.DEPLOYMENTS, name=workload) for verb in ("get", "patch")),
        *(Right(verb, resources.DEPLOYMENTS) for verb in ("list", "watch")),
        *(Right(verb, resources.PODS) for verb in ("get", "list", "watch")),
        # Older API servers ask for `get` to upgrade to a WebSocket, those from 1.35 on for `create`.
        *(Right(verb, resources.PODS, "portforward") for verb in ("get", "create")),
        *(Right(verb, resources.JOBS) for verb in ("create", "get", "patch", "delete")),
        *(Right(verb, resources.LEASES) for verb in ("create", "get", "patch", "delete")),
        Right("create", resources.SECRETS),
    ]
    if guard:
        rights += [
            Right("create", resources.SERVICE_ACCOUNTS),
            Right("create", resources.ROLES),
            Right("create", resources.ROLE_BINDINGS),
            Right("create", resources.SERVICE_ACCOUNTS, "token"),
            Right("patch", resources.SECRETS, use="a fresh token for the agents of a long session"),
        ]
        # ... also where the agents restore it alone: their Role is told the ReplicaSet's name once it is known.
        rights += _optional("a revision history without the agent after a death", resources.ROLES, "patch")
    if exec_in_pod:
        use = "the pod's environment, and the agent in the container's own image"
        rights += [Right(verb, resources.PODS, "exec", required=False, use=use) for verb in ("get", "create")]
    return [
        *rights,
        *_optional("ports that only Services name", resources.SERVICES, "get", "list"),
        *_optional("the pods' own words when one can't start", resources.EVENTS, "list"),
        *_optional("a revision history without the agent", resources.REPLICA_SETS, "get", "list", "delete"),
        *_optional("a note about autoscalers", resources.HPAS, "list"),
    ]


def _optional(use: str, resource: Resource, *verbs: str) -> list[Right]:
    return [Right(verb, resource, required=False, use=use) for verb in verbs]


async def missing(cluster: Cluster, namespace: str, rights: Sequence[Right]) -> list[Right]:
    """Those of the rights that the API server says this user lacks."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def lacks(right: Right) -> bool:
        async with gate:
            allowed, _ = await cluster.allowed(
                right.verb,
                right.resource,
                namespace,
                name=right.name,
                subresource=right.subresource,
            )
        return not allowed

    try:
        async with asyncio.TaskGroup() as group:
            asked = [(right, group.create_task(lacks(right), name=f"may I {right}")) for right in rights]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None  # one and the same server is out of reach for all of them
    return [right for right, answer in asked if answer.result()]


class MissingRights(InterceptorError):
    """The user may not do what an intercept needs; says everything at once, with the Role that gives it."""

    def __init__(self, namespace: str, lacking: Sequence[Right]) -> None:
        words = "; ".join(f"{', '.join(verbs)} {title}" for title, verbs in _by_resource(lacking).items())
        super().__init__(
            f"missing rights in namespace {namespace}: {words}",
            hint="the whole Role is in `interceptor intercept ... --dry-run`; ask your cluster's admin for it",
        )
        self.rights = tuple(lacking)


def role_yaml(namespace: str, rights: Iterable[Right], name: str = "interceptor") -> str:
    """The Role that allows exactly these rights, ready for `kubectl apply -f -`."""
    rules: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        plural = right.resource.plural + (f"/{right.subresource}" if right.subresource else "")
        verbs = rules.setdefault((right.resource.group, plural, right.name), [])
        if right.verb not in verbs:
            verbs.append(right.verb)
    lines = [
        "apiVersion: rbac.authorization.k8s.io/v1",
        "kind: Role",
        f"metadata: {{name: {name}, namespace: {namespace}}}",
        "rules:",
    ]
    for (group, plural, only), verbs in rules.items():
        named = f', resourceNames: ["{only}"]' if only else ""
        lines.append(f'- {{apiGroups: ["{group}"], resources: ["{plural}"]{named}, verbs: [{", ".join(verbs)}]}}')
    return "\n".join(lines) + "\n"


def _by_resource(rights: Sequence[Right]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for right in rights:
        verbs = grouped.setdefault(right.resource.title(right.subresource or None), [])
        if right.verb not in verbs:
            verbs.append(right.verb)
    return grouped
