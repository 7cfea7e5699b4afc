"""`linkerd-config` and what else an installation leaves in the cluster: CRDs, webhooks, RBAC; `control_plane` lists it."""

from __future__ import annotations

from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    COMPONENTS,
    CRDS,
    INJECTOR_WEBHOOK,
    MUTATING,
    NODES,
    SP_VALIDATOR_WEBHOOK,
    VALIDATING,
    Scope,
    missing,
    value,
    values,
)
from interceptor.mesh.check.model import PASSED, Category, Check, Failed, Verdict

Object = dict[str, Any]

# Each with the version that the chart of edge-26.8 lists last.
LINKERD_CRDS = {
    "authorizationpolicies.policy.linkerd.io": "v1alpha1",
    "egressnetworks.policy.linkerd.io": "v1alpha1",
    "httplocalratelimitpolicies.policy.linkerd.io": "v1alpha1",
    "httproutes.policy.linkerd.io": "v1beta3",
    "meshtlsauthentications.policy.linkerd.io": "v1alpha1",
    "networkauthentications.policy.linkerd.io": "v1alpha1",
    "serverauthorizations.policy.linkerd.io": "v1beta1",
    "servers.policy.linkerd.io": "v1beta3",
    "serviceprofiles.linkerd.io": "v1alpha2",
    "externalworkloads.workload.linkerd.io": "v1beta1",
}
GATEWAY_CRDS = ("httproutes.gateway.networking.k8s.io", "grpcroutes.gateway.networking.k8s.io")
_CREATED_BY = "linkerd.io/created-by"
_ROOT = (
    "there are nodes using the docker container runtime and proxy-init container must run as root user.\n"
    "try installing linkerd via --set proxyInit.runAsRoot=true"
)


def gateway_category() -> Category:
    """`gateway-api-crd`."""

    async def installed(facts: Facts) -> Verdict:
        found = list((await facts.find_all(CRDS, None, GATEWAY_CRDS)).values())
        if not found:
            return Failed("the Gateway API CRDs are not installed in the cluster")
        if any(_CREATED_BY in (crd["metadata"].get("annotations") or {}) for crd in found):
            return PASSED
        old = [crd["metadata"]["name"] for crd in found if not _serves(crd, "v1")]
        return Failed(f"{', '.join(old)} must serve version v1") if old else PASSED

    check = Check("Gateway API CRDs are installed", installed, "gateway-api-crd", fatal=True)
    return Category("gateway-api-crd", (check,))


def category(scope: Scope) -> Category:
    """`linkerd-config`."""
    owned = [f"linkerd-{scope.namespace}-identity", f"linkerd-{scope.namespace}-proxy-injector"]
    cluster_wide = f"{scope.selector},!linkerd.io/cni-resource"

    async def namespace(facts: Facts) -> Verdict:
        if await facts.find(resources.NAMESPACES, None, scope.namespace) is None:
            return Failed(f'The "{scope.namespace}" namespace does not exist')
        return PASSED

    async def roles(facts: Facts) -> Verdict:
        return missing("ClusterRoles", await facts.list(CLUSTER_ROLES, None, cluster_wide), owned)

    async def bindings(facts: Facts) -> Verdict:
        return missing("ClusterRoleBindings", await facts.list(CLUSTER_ROLE_BINDINGS, None, cluster_wide), owned)

    async def accounts(facts: Facts) -> Verdict:
        found = await facts.list(resources.SERVICE_ACCOUNTS, scope.namespace, scope.selector)
        return missing("ServiceAccounts", found, [f"linkerd-{component}" for component in COMPONENTS])

    async def crds(facts: Facts) -> Verdict:
        return await judge_crds(facts)

    async def mutating(facts: Facts) -> Verdict:
        found = await facts.list(MUTATING, None, scope.selector)
        return missing("MutatingWebhookConfigurations", found, [INJECTOR_WEBHOOK])

    async def validating(facts: Facts) -> Verdict:
        found = await facts.list(VALIDATING, None, scope.selector)
        return missing("ValidatingWebhookConfigurations", found, [SP_VALIDATOR_WEBHOOK])

    async def root(facts: Facts) -> Verdict:
        if value(await values(facts, scope), "proxyInit", "runAsRoot"):
            return PASSED
        runtimes = [
            str(value(node, "status", "nodeInfo", "containerRuntimeVersion")) for node in await facts.list(NODES, None)
        ]
        return Failed(_ROOT) if any(name.startswith("docker:") for name in runtimes) else PASSED

    return Category(
        "linkerd-config",
        (
            Check("control plane Namespace exists", namespace, "l5d-existence-ns", fatal=True),
            Check("control plane ClusterRoles exist", roles, "l5d-existence-cr", fatal=True),
            Check("control plane ClusterRoleBindings exist", bindings, "l5d-existence-crb", fatal=True),
            Check("control plane ServiceAccounts exist", accounts, "l5d-existence-sa", fatal=True),
            Check("control plane CustomResourceDefinitions exist", crds, "l5d-existence-crd", fatal=True),
            Check("control plane MutatingWebhookConfigurations exist", mutating, "l5d-existence-mwc", fatal=True),
            Check("control plane ValidatingWebhookConfigurations exist", validating, "l5d-existence-vwc", fatal=True),
            Check(
                "proxy-init container runs as root user if docker container runtime is used",
                root,
                "l5d-proxy-init-run-as-root",
            ),
        ),
    )


async def judge_crds(facts: Facts) -> Verdict:
    """Whether every kind of Linkerd's is known to the cluster, in the version that the proxies' controllers read."""
    problems = []
    found = await facts.find_all(CRDS, None, LINKERD_CRDS)
    for name, version in LINKERD_CRDS.items():
        crd = found.get(name)
        if crd is None:
            problems.append(f"missing {name}")
        elif version not in [item["name"] for item in crd["spec"]["versions"]]:
            problems.append(f"CRD {name} is missing version {version}")
    return Failed(", ".join(problems)) if problems else PASSED


def _serves(crd: Object, version: str) -> bool:
    return any(item["name"] == version and item.get("served") for item in crd["spec"]["versions"])
