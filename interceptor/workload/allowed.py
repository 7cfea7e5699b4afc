"""Which rights the user lacks, by the API server's word, and the words for it; `session` asks before anything changes.

One question for all where it can answer so: it lists what a user may do in a namespace. What its list doesn't give is asked
for one by one, and everything is where the list is not the whole truth (another authorizer than RBAC has a say).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError
from interceptor.kube.errors import Forbidden, NotFound
from interceptor.kube.resources import RULES_REVIEWS
from interceptor.workload.rights import Right

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

_AT_ONCE = 8  # questions under way: an API server limits how many requests one user has open


async def missing(cluster: Cluster, namespace: str, rights: Sequence[Right]) -> list[Right]:
    """Those of the rights that the API server says this user lacks."""
    rules = await rules_of(cluster, namespace) or []
    gate = asyncio.Semaphore(_AT_ONCE)

    async def lacks(right: Right) -> bool:
        if any(allows(rule, right) for rule in rules):
            return False
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


async def rules_of(cluster: Cluster, namespace: str) -> list[Object] | None:
    """All that the user may do in the namespace, in one answer; None where the server doesn't know all of it."""
    body = {"apiVersion": RULES_REVIEWS.group_version, "kind": RULES_REVIEWS.kind}
    try:
        review = await cluster.create(RULES_REVIEWS, None, {**body, "spec": {"namespace": namespace}})
    except (NotFound, Forbidden):
        return None
    status = review["status"]
    return None if status.get("incomplete") or status.get("evaluationError") else list(status["resourceRules"])


def allows(rule: Object, right: Right) -> bool:
    """Whether an RBAC rule gives a right: on objects of any name, or on the one that the right names."""
    wanted = right.resource.plural + (f"/{right.subresource}" if right.subresource else "")
    among = {"*", wanted, f"*/{right.subresource}" if right.subresource else wanted}
    named = rule.get("resourceNames")
    return (
        (not named or (bool(right.name) and right.name in named))
        and not {"*", right.verb}.isdisjoint(rule["verbs"])
        and not {"*", right.resource.group}.isdisjoint(rule.get("apiGroups") or [])
        and not among.isdisjoint(rule.get("resources") or [])
    )


class MissingRights(InterceptorError):
    """The user may not do what is needed; says everything at once, and what prints the Role that gives it.

    `rbac` are the options that have it printed, `to` what is not allowed, `instead` what would work without.
    """

    def __init__(
        self, namespace: str, lacking: Iterable[Right], *, rbac: str = "", to: str = "", instead: str = ""
    ) -> None:
        command = " ".join(filter(None, ("interceptor rbac", rbac, "-n", namespace)))
        role = f"ask your cluster's admin for `{command} | kubectl apply -f -`"
        super().__init__(
            f"missing rights in namespace {namespace}{f' to {to}' if to else ''}: {words(lacking)}",
            hint=f"{role}; {instead}" if instead else role,
        )


def words(lacking: Iterable[Right]) -> str:
    """Rights in one line: `get, create pods/portforward; patch deployments.apps`."""
    grouped: dict[str, list[str]] = {}
    for right in lacking:
        verbs = grouped.setdefault(right.resource.title(right.subresource or None), [])
        if right.verb not in verbs:
            verbs.append(right.verb)
    return "; ".join(f"{', '.join(verbs)} {title}" for title, verbs in grouped.items())
