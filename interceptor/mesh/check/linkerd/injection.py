"""Which pods should have a proxy, by the injector's own rules, and why one may lack it; `beyond` and `workload` ask.

Linkerd's check says nothing of pods without a proxy. With the injector down, or its certificate not trusted, new pods
start without one and without an error: the webhook's failures are ignored.
"""

from __future__ import annotations

from typing import Any

from interceptor.mesh.check.linkerd.scope import PROXY, all_containers
from interceptor.mesh.podstatus import pod_status

Object = dict[str, Any]

INJECT = "linkerd.io/inject"
_ON = ("enabled", "ingress")
_OFF = "disabled"
_SIDECARS = ("istio-proxy", "linkerd-init", "istio-init")


def wanted(namespace: Object | None, pod: Object) -> bool:
    """Whether the annotations of pod and namespace ask for a proxy."""
    own = annotation(pod)
    if own:
        return own in _ON
    return namespace is not None and annotation(namespace) in _ON


def annotation(item: Object) -> str:
    """What an object says about injection, empty where nothing."""
    return str((item["metadata"].get("annotations") or {}).get(INJECT, ""))


def obstacle(namespace: Object | None, pod: Object) -> str:
    """Why the injector passes over a pod that its annotations want in the mesh; empty where it doesn't."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        return "it uses the host's network"
    if spec.get("automountServiceAccountToken") is False and not _has_token(spec):
        return "automountServiceAccountToken is false, and the proxy needs a token"
    other = next((item["name"] for item in all_containers(pod) if item["name"] in _SIDECARS), "")
    if other:
        return f"it has another sidecar, {other}"
    return ""


def misspelt(item: Object) -> str:
    """A value for the annotation that means nothing to the injector; empty where it is a known one."""
    value = annotation(item)
    return "" if value in ("", *_ON, _OFF) else value


def unmeshed(namespace: Object | None, pods: list[Object]) -> list[tuple[Object, str]]:
    """The living pods of a namespace that should have a proxy and have none, each with the obstacle if there is one."""
    return [
        (pod, obstacle(namespace, pod)) for pod in pods if not has_proxy(pod) and _lives(pod) and wanted(namespace, pod)
    ]


def has_proxy(pod: Object) -> bool:
    """Whether the injector has been there."""
    return any(container["name"] == PROXY for container in all_containers(pod))


def _lives(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Running", "Pending") and pod_status(pod) not in ("Terminating", "Evicted")


def _has_token(spec: Object) -> bool:
    """Whether a volume brings a token of its own."""
    return any(
        "serviceAccountToken" in source
        for volume in spec.get("volumes") or []
        for source in (volume.get("projected") or {}).get("sources") or []
    )
