"""Proxies: ready, with the current trust anchors, of the right version; for the control plane's own and all others."""

from __future__ import annotations

from typing import Any

from cryptography import x509

from interceptor.kube import resources
from interceptor.mesh import certificates
from interceptor.mesh.certificates import BadCertificate
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd import versions
from interceptor.mesh.check.linkerd.scope import (
    CONTROL_PLANE_NS,
    PROXY,
    Scope,
    environment,
    proxied_pods,
    proxy_of,
)
from interceptor.mesh.check.model import PASSED, Category, Check, Failed, Verdict, lines
from interceptor.mesh.podstatus import pod_status

Object = dict[str, Any]

TRUST_ROOTS = "linkerd-identity-trust-roots"
ANCHORS_VARIABLE = "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"
_OVER = ("Completed", "NodeShutdown", "Shutdown", "Terminated")
_MAY_BE = ("Running", "Evicted")


def control_plane_proxies(scope: Scope) -> Category:
    """`linkerd-control-plane-proxy`."""

    async def pods(facts: Facts) -> list[Object]:
        found = await facts.list(resources.PODS, scope.namespace)
        return [pod for pod in found if CONTROL_PLANE_NS in (pod["metadata"].get("labels") or {})]

    async def healthy(facts: Facts) -> Verdict:
        found = await pods(facts)
        verdict = ready(found, scope.namespace)
        return await stale(facts, scope, found, scope.namespace) if verdict == PASSED else verdict

    async def current(facts: Facts) -> Verdict:
        return versions.outdated(await pods(facts), await versions.latest(facts, scope))

    async def same(facts: Facts) -> Verdict:
        return versions.differing(await pods(facts), await versions.control_plane(facts, scope))

    return Category(
        "linkerd-control-plane-proxy",
        (
            Check("control plane proxies are healthy", healthy, "l5d-cp-proxy-healthy", fatal=True, retry=True),
            Check("control plane proxies are up-to-date", current, "l5d-cp-proxy-version", warning=True),
            Check("control plane proxies and cli versions match", same, "l5d-cp-proxy-cli-version", warning=True),
        ),
    )


def identity_data_plane(scope: Scope) -> Category:
    """`linkerd-identity-data-plane`."""

    async def match(facts: Facts) -> Verdict:
        found = await facts.list(resources.PODS, scope.data, CONTROL_PLANE_NS)
        # The control plane's own pods take the bundle from the ConfigMap itself.
        return await stale(
            facts, scope, [pod for pod in found if pod["metadata"]["namespace"] != scope.namespace], scope.data
        )

    check = Check(
        "data plane proxies certificate match CA",
        match,
        "l5d-identity-data-plane-proxies-certs-match-ca",
        warning=True,
    )
    return Category("linkerd-identity-data-plane", (check,))


def ready(pods: list[Object], namespace: str | None) -> Verdict:
    """Whether every pod with a proxy has a ready one, those that are over aside."""
    if not pods:
        where = f' in the "{namespace}" namespace' if namespace else ""
        return Failed(f'no "{PROXY}" containers found{where}')
    for pod in pods:
        name, status = pod["metadata"]["name"], pod_status(pod)
        if status in _OVER:
            continue
        if status not in _MAY_BE:
            return Failed(f'pod "{name}" status is {(pod.get("status") or {}).get("phase", "Unknown")}')
        if not proxy_ready(pod):
            return Failed(f'container "{PROXY}" in pod "{name}" is not ready')
    return PASSED


def proxy_ready(pod: Object) -> bool:
    """Whether the kubelet calls the proxy's container ready."""
    status = pod.get("status") or {}
    states = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return any(item["name"] == PROXY and item.get("ready") for item in states)


async def stale(facts: Facts, scope: Scope, pods: list[Object], namespace: str | None) -> Verdict:
    """Which proxies trust other anchors than the identity service's; in whatever order the bundles name them."""
    carried = [(pod, text) for pod in pods if (text := anchors_text(pod)) is not None]
    if not carried:
        return PASSED
    roots = await facts.get(resources.CONFIGMAPS, scope.namespace, TRUST_ROOTS)
    current = anchor_set((roots.get("data") or {}).get("ca-bundle.crt", ""))
    behind = [pod["metadata"] for pod, text in carried if anchor_set(text) != current]
    named = [f"* {item['name']}" if namespace else f"* {item['namespace']}/{item['name']}" for item in behind]
    title = "Some pods do not have the current trust bundle and must be restarted:"
    return Failed(lines(title, named)) if named else PASSED


def anchors_text(pod: Object) -> str | None:
    """The anchors in a proxy's environment; None where they come from elsewhere, or there is no proxy."""
    proxy = proxy_of(pod)
    return None if proxy is None else environment(proxy).get(ANCHORS_VARIABLE)


def anchor_set(text: str) -> frozenset[x509.Certificate] | str:
    """A bundle to compare: its certificates, or the text itself where it holds something else."""
    try:
        return frozenset(certificates.read_certificates(text))
    except BadCertificate:
        return text.strip()


async def running_proxies(facts: Facts, scope: Scope) -> list[Object]:
    """The pods whose proxy can be asked something."""
    return [pod for pod in await proxied_pods(facts, scope) if pod_status(pod) == "Running" and proxy_ready(pod)]
