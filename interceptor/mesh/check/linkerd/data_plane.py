"""`linkerd-data-plane`: the proxies beside the apps, and what their pods and Services ask of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd import opaque, proxies, versions
from interceptor.mesh.check.linkerd.scope import Scope, proxied_pods
from interceptor.mesh.check.model import PASSED, Category, Check, Failed, Verdict

Object = dict[str, Any]

_ANNOTATIONS = ("config.linkerd.io", "config.alpha.linkerd.io")
_INJECT = "linkerd.io/inject"
_EXPORTED = "mirror.linkerd.io/exported"


def category(scope: Scope) -> Category:
    """The category as Linkerd has it."""

    async def namespace(facts: Facts) -> Verdict:
        if scope.data and await facts.find(resources.NAMESPACES, None, scope.data) is None:
            return Failed(f'The "{scope.data}" namespace does not exist')
        return PASSED

    async def ready(facts: Facts) -> Verdict:
        return proxies.ready(await proxied_pods(facts, scope), scope.data)

    async def current(facts: Facts) -> Verdict:
        return versions.outdated(await proxied_pods(facts, scope), await versions.latest(facts, scope))

    async def same(facts: Facts) -> Verdict:
        return versions.differing(await proxied_pods(facts, scope), await versions.control_plane(facts, scope))

    async def pod_labels(facts: Facts) -> Verdict:
        return misplaced(
            await proxied_pods(facts, scope),
            "labels",
            "Some labels on data plane pods should be annotations:",
            lambda key: key == _INJECT or key.startswith(_ANNOTATIONS),
        )

    async def service_labels(facts: Facts) -> Verdict:
        return misplaced(
            await facts.list(resources.SERVICES, scope.data),
            "labels",
            "Some labels on data plane services should be annotations:",
            lambda key: key.startswith(_ANNOTATIONS),
        )

    async def service_annotations(facts: Facts) -> Verdict:
        return misplaced(
            await facts.list(resources.SERVICES, scope.data),
            "annotations",
            "Some annotations on data plane services should be labels:",
            lambda key: key == _EXPORTED,
        )

    async def opaque_ports(facts: Facts) -> Verdict:
        return await opaque.judge(facts, scope)

    return Category(
        "linkerd-data-plane",
        (
            Check("data plane namespace exists", namespace, "l5d-data-plane-exists", fatal=True),
            Check("data plane proxies are ready", ready, "l5d-data-plane-ready", fatal=True, retry=True),
            Check("data plane is up-to-date", current, "l5d-data-plane-version", warning=True),
            Check("data plane and cli versions match", same, "l5d-data-plane-cli-version", warning=True),
            Check(
                "data plane pod labels are configured correctly", pod_labels, "l5d-data-plane-pod-labels", warning=True
            ),
            Check(
                "data plane service labels are configured correctly",
                service_labels,
                "l5d-data-plane-services-labels",
                warning=True,
            ),
            Check(
                "data plane service annotations are configured correctly",
                service_annotations,
                "l5d-data-plane-services-annotations",
                warning=True,
            ),
            Check("opaque ports are properly annotated", opaque_ports, "linkerd-opaque-ports-definition", warning=True),
        ),
    )


def misplaced(items: Iterable[Object], where: str, title: str, wrong: Any) -> Verdict:
    """Labels that only work as annotations, and the other way round."""
    offending = []
    for item in items:
        metadata = item["metadata"]
        keys = sorted(key for key in metadata.get(where) or {} if wrong(key))
        if keys:
            offending += [f"* {metadata['namespace']}/{metadata['name']}", *(f"\t{key}" for key in keys)]
    return Failed("\n\t".join([title, *offending])) if offending else PASSED
