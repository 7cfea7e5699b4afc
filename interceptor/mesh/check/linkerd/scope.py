"""Which Linkerd is looked at, and what its installation says of itself; every module beside this one begins here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from interceptor.kube import Resource, resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.model import PASSED, Broken, Failed, Verdict

Object = dict[str, Any]

CONTROL_PLANE_NS = "linkerd.io/control-plane-ns"
COMPONENT = "linkerd.io/control-plane-component"
PROXY = "linkerd-proxy"
CONFIG = "linkerd-config"
COMPONENTS = ("destination", "identity", "proxy-injector")

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where PyYAML was built with libyaml


@dataclass(frozen=True)
class Scope:
    """`namespace` is the control plane's; `data` the one to look for proxies in, None for all.

    `expected` is the version that counts as the latest; nothing is asked of the Internet.
    """

    namespace: str = "linkerd"
    data: str | None = None
    expected: str = ""
    cni_namespace: str = "linkerd-cni"

    @property
    def selector(self) -> str:
        """Of everything that an installation puts into the cluster."""
        return CONTROL_PLANE_NS


async def values(facts: Facts, scope: Scope) -> Object:
    """The installation's Helm values. Raises NotFound where there is no Linkerd."""

    async def read() -> Object:
        config = await facts.get(resources.CONFIGMAPS, scope.namespace, CONFIG)
        return parse_values((config.get("data") or {}).get("values", ""))

    return await facts.derived(("values", scope.namespace), read)


def parse_values(text: str) -> Object:
    """Helm values; those of old installations keep part of themselves under `global`."""
    try:
        found = yaml.load(text, _Loader)  # noqa: S506  (a safe loader, chosen above)
    except yaml.YAMLError as error:
        raise Broken(f"the values in {CONFIG} are no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise Broken(f"the ConfigMap {CONFIG} has no values")
    old = found.pop("global", None)
    return {**old, **found} if isinstance(old, dict) else found


def value(tree: Object, *path: str) -> Any:
    """A setting by its path, None where any part of it is missing."""
    node: Any = tree
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node


def missing(title: str, objects: Sequence[Object], expected: Sequence[str]) -> Verdict:
    """Whether the expected names are all among the objects."""
    there = {item["metadata"]["name"] for item in objects}
    absent = sorted(set(expected) - there)
    return Failed(f"missing {title}: {', '.join(absent)}") if absent else PASSED


async def control_plane_pods(facts: Facts, scope: Scope) -> list[Object]:
    """The pods of the control plane's namespace."""
    return await facts.list(resources.PODS, scope.namespace)


async def proxied_pods(facts: Facts, scope: Scope) -> list[Object]:
    """The pods that this control plane's injector gave a proxy to, in the namespace that is looked at."""
    return await facts.list(resources.PODS, scope.data, f"{CONTROL_PLANE_NS}={scope.namespace}")


def proxy_of(pod: Object) -> Object | None:
    """The proxy's container: among the init containers since it runs as a native sidecar."""
    return next((container for container in all_containers(pod) if container["name"] == PROXY), None)


def all_containers(pod: Object) -> Iterator[Object]:
    """Every container that a pod's spec names."""
    yield from pod["spec"].get("initContainers") or []
    yield from pod["spec"].get("containers") or []


def environment(container: Object) -> dict[str, str]:
    """A container's variables with a value of their own."""
    return {item["name"]: item["value"] for item in container.get("env") or [] if "value" in item}


CLUSTER_ROLES = Resource("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
CRDS = Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
MUTATING = Resource(
    "admissionregistration.k8s.io/v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
VALIDATING = Resource(
    "admissionregistration.k8s.io/v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
NODES = Resource("v1", "nodes", "Node", namespaced=False)
INJECTOR_WEBHOOK = "linkerd-proxy-injector-webhook-config"
SP_VALIDATOR_WEBHOOK = "linkerd-sp-validator-webhook-config"
POLICY_VALIDATOR_WEBHOOK = "linkerd-policy-validator-webhook-config"
