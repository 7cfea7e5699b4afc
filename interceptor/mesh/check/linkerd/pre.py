"""`pre-kubernetes-setup`: whether Linkerd could be installed here by this user; `categories` lists it for `--pre`."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

from interceptor.kube import Resource, resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.identity import now
from interceptor.mesh.check.linkerd.scope import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CRDS,
    MUTATING,
    NODES,
    VALIDATING,
    Scope,
)
from interceptor.mesh.check.model import PASSED, Category, Check, Failed, Verdict

Object = dict[str, Any]

MOST_SKEW = datetime.timedelta(minutes=5, seconds=10)  # a node tells of itself every five minutes
_AUTHENTICATION = "extension-apiserver-authentication"
_CLIENT_CA = "requestheader-client-ca-file"
_CLUSTER_WIDE = (resources.NAMESPACES, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, CRDS, MUTATING, VALIDATING)
_NAMESPACED = (
    ("ServiceAccounts", resources.SERVICE_ACCOUNTS),
    ("Services", resources.SERVICES),
    ("Deployments", resources.DEPLOYMENTS),
    ("CronJobs", resources.CRON_JOBS),
    ("ConfigMaps", resources.CONFIGMAPS),
    ("Secrets", resources.SECRETS),
)


def category(scope: Scope) -> Category:
    """The category as Linkerd has it."""

    async def absent(facts: Facts) -> Verdict:
        if await facts.find(resources.NAMESPACES, None, scope.namespace) is not None:
            return Failed(f'The "{scope.namespace}" namespace already exists')
        return PASSED

    async def cluster_wide(facts: Facts) -> Verdict:
        refused = [kind.kind for kind in _CLUSTER_WIDE if not await _may(facts, "create", kind, None)]
        return Failed("\n    ".join(f"cannot create {kind}: not allowed" for kind in refused)) if refused else PASSED

    def may(verb: str, kind: Resource) -> Callable[[Facts], Awaitable[Verdict]]:
        async def judge(facts: Facts) -> Verdict:
            if await _may(facts, verb, kind, scope.namespace):
                return PASSED
            return Failed(f"not authorized to access {kind.title()}")

        return judge

    async def authentication(facts: Facts) -> Verdict:
        config = await facts.get(resources.CONFIGMAPS, "kube-system", _AUTHENTICATION)
        return PASSED if (config.get("data") or {}).get(_CLIENT_CA) else Failed(f"--{_CLIENT_CA} is not configured")

    async def clocks(facts: Facts) -> Verdict:
        nodes = await facts.list(NODES, None)
        wrong = [node["metadata"]["name"] for node in nodes if _skewed(node)]
        return Failed(f"clock skew detected for node(s): {', '.join(wrong)}") if wrong else PASSED

    created = [Check(f"can create {title}", may("create", kind), "pre-k8s") for title, kind in _NAMESPACED]
    return Category(
        "pre-kubernetes-setup",
        (
            Check("control plane namespace does not already exist", absent, "pre-ns"),
            Check("can create non-namespaced resources", cluster_wide, "pre-k8s-cluster-k8s"),
            *created,
            Check("can read Secrets", may("get", resources.SECRETS), "pre-k8s"),
            Check("can read extension-apiserver-authentication configmap", authentication, "pre-k8s"),
            Check("no clock skew detected", clocks, "pre-k8s-clock-skew", warning=True),
        ),
    )


async def _may(facts: Facts, verb: str, kind: Resource, namespace: str | None) -> bool:
    allowed, _ = await facts.once(("may", verb, kind, namespace), lambda: facts.cluster.allowed(verb, kind, namespace))
    return allowed


def _skewed(node: Object) -> bool:
    for condition in (node.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Ready" and condition["status"] == "True" and condition.get("lastHeartbeatTime"):
            told = datetime.datetime.fromisoformat(condition["lastHeartbeatTime"])
            return abs(now() - told) > MOST_SKEW
    return False
