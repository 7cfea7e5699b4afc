"""Istio's objects as its proxies read them: whom a policy selects, which Service a host is, how strict mTLS is.

`istio_routes` and `istio_authorization` ask here. The oldest served versions are asked for: every Istio since 1.5 has them.
"""

from __future__ import annotations

from typing import Any

from interceptor.kube import Resource
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.istio import NAMESPACE
from interceptor.mesh.check.workload.network import selected
from interceptor.mesh.check.workload.subject import Subject, name

Object = dict[str, Any]

VIRTUAL_SERVICES = Resource("networking.istio.io/v1beta1", "virtualservices", "VirtualService")
DESTINATION_RULES = Resource("networking.istio.io/v1beta1", "destinationrules", "DestinationRule")
PEER_AUTHENTICATIONS = Resource("security.istio.io/v1beta1", "peerauthentications", "PeerAuthentication")
AUTHORIZATION_POLICIES = Resource("security.istio.io/v1beta1", "authorizationpolicies", "AuthorizationPolicy")

PERMISSIVE, STRICT, DISABLE = "PERMISSIVE", "STRICT", "DISABLE"


def service_of(host: str, namespace: str) -> tuple[str, str] | None:
    """The Service that a host means in an object of `namespace`; None for a host outside, or a pattern."""
    parts = host.split(".")
    if not host or "*" in host:
        return None
    if len(parts) == 1:
        return host, namespace
    if len(parts) == 2 or parts[2:3] == ["svc"]:
        return parts[0], parts[1]
    return None


def covers(host: str, service: str, namespace: str) -> bool:
    """Whether a host of an object in the Service's namespace means the Service."""
    if host.startswith("*"):
        return f"{service}.{namespace}.svc.cluster.local".endswith(host.removeprefix("*"))
    return service_of(host, namespace) == (service, namespace)


def in_mesh(virtual_service: Object) -> bool:
    """Whether it is for sidecars, and not for gateways only."""
    return "mesh" in (virtual_service["spec"].get("gateways") or ["mesh"])


def labels_of(subject: Subject) -> dict[str, str]:
    """What selectors see of the workload's pods."""
    return dict((subject.template.get("metadata") or {}).get("labels") or {})


def created(item: Object) -> tuple[str, str]:
    """Istio's order: the older first."""
    return str(item["metadata"].get("creationTimestamp", "")), name(item)


async def selecting(facts: Facts, subject: Subject, resource: Resource) -> list[Object]:
    """The policies for the workload's pods: of its namespace and of the mesh's root, the older first."""
    found = []
    for namespace in dict.fromkeys((subject.namespace, NAMESPACE)):
        for item in await facts.list(resource, namespace):
            spec = item.get("spec") or {}
            if spec.get("targetRefs") or spec.get("targetRef"):
                continue  # of a waypoint or a gateway, not of a sidecar
            if selected(spec.get("selector") or {}, labels_of(subject)):
                found.append({**item, "spec": spec})
    return sorted(found, key=created)


async def mtls(facts: Facts, subject: Subject) -> tuple[str, dict[int, str], str]:
    """The mode, that of single ports where it differs, and the PeerAuthentication that says so ("" for the default).

    The narrowest wins: one with a selector, else the namespace's, else the mesh's; of several the oldest.
    """
    found = [
        item
        for item in await selecting(facts, subject, PEER_AUTHENTICATIONS)
        if item["metadata"].get("namespace") == subject.namespace or "selector" not in item["spec"]
    ]

    def rank(item: Object) -> int:
        if item["metadata"].get("namespace") != subject.namespace:
            return 2
        return 0 if (item["spec"].get("selector") or {}).get("matchLabels") else 1

    mode, ports, by = "UNSET", {}, ""
    for item in sorted(found, key=lambda item: (rank(item), created(item))):
        said = (item["spec"].get("mtls") or {}).get("mode", "UNSET")
        if not by and item["spec"].get("portLevelMtls"):
            ports = {int(port): one.get("mode", "UNSET") for port, one in item["spec"]["portLevelMtls"].items()}
            by = name(item)
        if mode == "UNSET" and said != "UNSET":
            mode, by = said, by or name(item)
    return (PERMISSIVE if mode == "UNSET" else mode), {k: v for k, v in ports.items() if v != "UNSET"}, by
