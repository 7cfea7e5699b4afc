"""One `interceptor check`: which categories apply, run on one client; `cli.check` calls it and prints the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from interceptor.kube import Cluster, Forbidden, KubeconfigError, Unreachable
from interceptor.kube.errors import ApiError
from interceptor.mesh.check import istio, kubernetes
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd import categories as linkerd
from interceptor.mesh.check.linkerd.scope import Scope
from interceptor.mesh.check.model import Category
from interceptor.mesh.check.runner import Tell, run
from interceptor.mesh.check.workload.categories import about
from interceptor.mesh.check.workload.subject import Subject
from interceptor.session import check_own
from interceptor.session.access import open_cluster
from interceptor.session.options import Access
from interceptor.workload import target

Mesh = Literal["auto", "linkerd", "istio", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What was typed. `expected_version` is the mesh's; `wait` the seconds that something may take to become well."""

    target: str | None = None
    pre: bool = False
    proxy: bool = False
    wait: float = 0.0
    mesh: Mesh = "auto"
    expected_version: str = ""
    linkerd_namespace: str = "linkerd"
    cni_namespace: str = "linkerd-cni"
    machine: bool = True  # try what this machine allows, too
    access: Access = field(default_factory=Access)

    @property
    def scope(self) -> Scope:
        """The same for Linkerd's checks; without -n they look at all namespaces, as Linkerd's do."""
        return Scope(self.linkerd_namespace, self.access.namespace, self.expected_version, self.cni_namespace)


async def check(options: CheckOptions, tell: Tell, waiting: Callable[[str], None] = lambda _: None) -> bool:
    """Tell every row, and return whether no check failed."""
    try:
        client = open_cluster(options.access)
    except KubeconfigError as error:
        tell(kubernetes.unusable(str(error)))
        return False
    async with client as cluster:
        categories = kubernetes.categories()
        if options.pre:
            categories += linkerd.before_installation(options.scope)
        elif options.target is not None:
            categories += await _workload(cluster, options, options.target)
        else:
            categories += await _mesh(cluster, options)
            categories.append(check_own.category(machine=options.machine))
        return await run(cluster, categories, tell, wait=options.wait, waiting=waiting)


async def _workload(cluster: Cluster, options: CheckOptions, text: str) -> list[Category]:
    """Raises NoSuchWorkload and what `kube` raises: without the workload there is nothing to say about it."""
    found = await target.resolve(cluster, cluster.namespace, text)
    mesh = await _detect(cluster, options) if options.mesh == "auto" else options.mesh
    scope = replace(options.scope, data=cluster.namespace)
    return about(Subject(found, cluster.namespace, scope), mesh=mesh)


async def _mesh(cluster: Cluster, options: CheckOptions) -> list[Category]:
    mesh = options.mesh
    if mesh == "auto":
        mesh = await _detect(cluster, options)
    if mesh == "linkerd":
        return linkerd.installed(options.scope, data=options.proxy)
    if mesh == "istio":
        return istio.categories(options.access.namespace, proxies=options.proxy)
    return []


async def _detect(cluster: Cluster, options: CheckOptions) -> Mesh:
    """Which mesh is here. Who may not look is shown Linkerd's checks, each with the right that it lacks."""
    async with asyncio.TaskGroup() as group:
        facts = Facts(cluster, group)
        try:
            if await linkerd.present(facts, options.scope):
                return "linkerd"
            return "istio" if await istio.present(facts) else "none"
        except Forbidden:
            return "linkerd"
        except (ApiError, Unreachable):
            return "none"  # the first check says it
