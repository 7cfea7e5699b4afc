"""What only some installations have: the CNI plugin, high availability, extensions; `categories` lists it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from interceptor.kube import NotFound, Resource, resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    COMPONENTS,
    Scope,
    value,
    values,
)
from interceptor.mesh.check.model import PASSED, SKIPPED, Category, Check, Failed, Verdict

Object = dict[str, Any]

_CNI = "linkerd-cni"
_EXTENSION = "linkerd.io/extension"


def cni_plugin(scope: Scope) -> Category:
    """`linkerd-cni-plugin`: shown only where the installation says that the plugin is used."""

    def exists(kind: Resource, name: str, namespace: str | None) -> Callable[[Facts], Awaitable[Verdict]]:
        async def judge(facts: Facts) -> Verdict:
            if not await _cni_enabled(facts, scope):
                return SKIPPED
            if await facts.find(kind, namespace, name) is None:
                if kind == resources.CONFIGMAPS:
                    return Failed(f'configmaps "{name}" not found')
                return Failed(f"missing {kind.kind}: {name}")
            return PASSED

        return judge

    async def everywhere(facts: Facts) -> Verdict:
        if not await _cni_enabled(facts, scope):
            return SKIPPED
        plugin = await facts.find(resources.DAEMON_SETS, scope.cni_namespace, _CNI)
        if plugin is None:
            return Failed(f"missing DaemonSet: {_CNI}")
        ready, wanted = (int(plugin["status"].get(key, 0)) for key in ("numberReady", "desiredNumberScheduled"))
        return PASSED if ready == wanted else Failed(f"number ready: {ready}, number scheduled: {wanted}")

    inside = scope.cni_namespace
    config = "linkerd-cni-config"
    found = (
        ("cni plugin ConfigMap exists", exists(resources.CONFIGMAPS, config, inside), "cni-plugin-cm-exists"),
        ("cni plugin ClusterRole exists", exists(CLUSTER_ROLES, _CNI, None), "cni-plugin-cr-exists"),
        ("cni plugin ClusterRoleBinding exists", exists(CLUSTER_ROLE_BINDINGS, _CNI, None), "cni-plugin-crb-exists"),
        ("cni plugin ServiceAccount exists", exists(resources.SERVICE_ACCOUNTS, _CNI, inside), "cni-plugin-sa-exists"),
        ("cni plugin DaemonSet exists", exists(resources.DAEMON_SETS, _CNI, inside), "cni-plugin-ds-exists"),
    )
    checks = [Check(sentence, judge, anchor, fatal=True) for sentence, judge, anchor in found]
    last = Check("cni plugin pod is running on all nodes", everywhere, "cni-plugin-ready", fatal=True, retry=True)
    return Category("linkerd-cni-plugin", (*checks, last))


def high_availability(scope: Scope) -> Category:
    """`linkerd-ha-checks`: shown only where the installation says it is highly available."""

    async def replicas(facts: Facts) -> Verdict:
        if not value(await values(facts, scope), "highAvailability"):
            return SKIPPED
        names = [f"linkerd-{component}" for component in COMPONENTS]
        found = await facts.find_all(resources.DEPLOYMENTS, scope.namespace, names)
        for name in names:
            if name not in found:
                return Failed(f'deployments.apps "{name}" not found')
        few = [name for name in names if int((found[name].get("status") or {}).get("availableReplicas", 0)) <= 1]
        return Failed(f"not enough replicas available for {few}".replace("'", "")) if few else PASSED

    check = Check(
        "multiple replicas of control plane pods", replicas, "l5d-control-plane-replicas", warning=True, retry=True
    )
    return Category("linkerd-ha-checks", (check,))


def extensions(_: Scope) -> Category:
    """`linkerd-extension-checks`."""

    async def unique(facts: Facts) -> Verdict:
        names: dict[str, list[str]] = defaultdict(list)
        for namespace in await facts.list(resources.NAMESPACES, None, _EXTENSION):
            names[namespace["metadata"]["labels"][_EXTENSION]].append(namespace["metadata"]["name"])
        twice = [f"* label \"{_EXTENSION}={name}\" is present on more than one namespace:\n\t\t* " + "\n\t\t* ".join(found)
                 for name, found in sorted(names.items()) if len(found) > 1]  # fmt: skip
        title = "some extensions have invalid configuration"
        return Failed("\n\t".join([title, *twice])) if twice else PASSED

    check = Check("namespace configuration for extensions", unique, "l5d-extension-namespaces", warning=True)
    return Category("linkerd-extension-checks", (check,))


async def _cni_enabled(facts: Facts, scope: Scope) -> bool:
    try:
        return bool(value(await values(facts, scope), "cniEnabled"))
    except NotFound:
        return False
