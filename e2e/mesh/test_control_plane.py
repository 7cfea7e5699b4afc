"""What can be wrong with a control plane, one thing at a time."""

from __future__ import annotations

from typing import Any

from e2e.mesh.breaking import State, expect, parameters
from e2e.mesh.installation import COMPONENTS, OLD_VERSION, PROXY_IMAGE, VERSION
from e2e.mesh.states import Mesh
from interceptor.kube.resources import (
    CONFIGMAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
)
from interceptor.mesh.check.linkerd.scope import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CRDS, MUTATING, VALIDATING

Object = dict[str, Any]

UNLABELLED = {"metadata": {"labels": {"linkerd.io/control-plane-ns": None}}}


async def no_config(mesh: Mesh) -> None:
    await mesh.delete(CONFIGMAPS, mesh.control, "linkerd-config")


async def config_no_yaml(mesh: Mesh) -> None:
    await mesh.patch(CONFIGMAPS, mesh.control, "linkerd-config", {"data": {"values": "a: [b"}})


async def no_heartbeat(mesh: Mesh) -> None:
    await mesh.delete(SERVICE_ACCOUNTS, mesh.control, "linkerd-heartbeat")


async def replica_failure(mesh: Mesh) -> None:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    # A ReplicaSet may not have its pods: no such ServiceAccount.
    template["spec"]["serviceAccountName"] = "nobody"  # type: ignore[index]
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    await mesh.create(REPLICA_SETS, mesh.control, {"metadata": {"name": "linkerd-extra"}, "spec": spec})

    async def told() -> bool:
        found = await mesh.cluster.get(REPLICA_SETS, mesh.control, "linkerd-extra")
        return any(item["type"] == "ReplicaFailure" for item in found["status"].get("conditions") or [])

    await mesh.until(told)


async def unschedulable(mesh: Mesh) -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    status = {"phase": "Pending", "conditions": [condition], "containerStatuses": [], "initContainerStatuses": []}
    await mesh.ghost("linkerd-identity-7b-ghost", mesh.control, status, proxied=False)


def scaled_to_zero(component: str) -> Any:
    name = f"linkerd-{component}"

    async def scale(mesh: Mesh) -> None:
        async def none() -> bool:
            return not await mesh.pods(name, mesh.control)

        mesh.undo.push_async_callback(mesh.until_ready, name, mesh.control, count=1)
        await mesh.patch(DEPLOYMENTS, mesh.control, name, {"spec": {"replicas": 0}})
        await mesh.until(none)

    return scale


async def container_unready(mesh: Mesh) -> None:
    mesh.undo.push_async_callback(mesh.until_ready, "linkerd-destination", mesh.control)
    await mesh.proxies("linkerd-destination", {"ready": 503}, 9990, mesh.control)
    await mesh.until_ready("linkerd-destination", mesh.control, ready=False)


async def pods_outside(mesh: Mesh) -> None:
    await mesh.values(clusterNetworks="10.96.0.0/12")


async def services_outside(mesh: Mesh) -> None:
    await mesh.values(clusterNetworks="10.244.0.0/16")


async def networks_unreadable(mesh: Mesh) -> None:
    await mesh.values(clusterNetworks="10.0.0.0/8,nonsense")


def unlabelled(kind: Any, name: str) -> Any:
    async def change(mesh: Mesh) -> None:
        await mesh.patch(kind, None, name.format(mesh.control), UNLABELLED)

    return change


async def no_account(mesh: Mesh) -> None:
    await mesh.delete(SERVICE_ACCOUNTS, mesh.control, "linkerd-identity")


async def no_crd(mesh: Mesh) -> None:
    await mesh.delete(CRDS, None, "egressnetworks.policy.linkerd.io")


async def old_crd(mesh: Mesh) -> None:
    name = "httplocalratelimitpolicies.policy.linkerd.io"
    crd = await mesh.cluster.get(CRDS, None, name)
    versions = [{**crd["spec"]["versions"][0], "name": "v1alpha0"}]
    await mesh.delete(CRDS, None, name)
    metadata = {"name": name, "labels": {"interceptor-e2e": "mesh"}}
    body = {"metadata": metadata, "spec": {**crd["spec"], "versions": versions}}
    await mesh.create(CRDS, None, body)


async def no_gateway_api(mesh: Mesh) -> None:
    for name in ("httproutes", "grpcroutes"):
        await mesh.delete(CRDS, None, f"{name}.gateway.networking.k8s.io")


async def not_available_twice(mesh: Mesh) -> None:
    await mesh.values(highAvailability=True)


async def extension_twice(mesh: Mesh) -> None:
    for name in (mesh.control, mesh.data):
        await mesh.patch(NAMESPACES, None, name, {"metadata": {"labels": {"linkerd.io/extension": "viz"}}})


async def cni_enabled(mesh: Mesh) -> None:
    await mesh.values(cniEnabled=True)


def cni(parts: int) -> Any:
    """The plugin's objects, the first `parts` of them."""

    async def create(mesh: Mesh) -> None:
        await cni_enabled(mesh)
        inside = mesh.control
        template = {"metadata": {"labels": {"app": "cni"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
        nowhere = {**template, "spec": {**template["spec"], "nodeSelector": {"nowhere": inside}}}  # type: ignore[dict-item]
        binding = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "linkerd-cni"}}
        spec = {"selector": {"matchLabels": {"app": "cni"}}, "template": nowhere}
        objects: list[tuple[Any, str | None, Object]] = [
            (CONFIGMAPS, inside, {"metadata": {"name": "linkerd-cni-config"}}),
            (CLUSTER_ROLES, None, {"metadata": {"name": "linkerd-cni"}, "rules": []}),
            (CLUSTER_ROLE_BINDINGS, None, {"metadata": {"name": "linkerd-cni"}, **binding}),
            (SERVICE_ACCOUNTS, inside, {"metadata": {"name": "linkerd-cni"}}),
            (DAEMON_SETS, inside, {"metadata": {"name": "linkerd-cni"}, "spec": spec}),
        ]
        for kind, namespace, body in objects[:parts]:
            await mesh.create(kind, namespace, body)

    return create


async def proxy_unready(mesh: Mesh) -> None:
    mesh.undo.push_async_callback(mesh.until_ready, "linkerd-identity", mesh.control)
    await mesh.proxies("linkerd-identity", {"ready": 503}, namespace=mesh.control)
    await mesh.until_ready("linkerd-identity", mesh.control, ready=False)


async def proxy_outdated(mesh: Mesh) -> None:
    image = f"{PROXY_IMAGE}:{OLD_VERSION}"
    await mesh.ghost("linkerd-identity-7b-old", mesh.control, image=image)


async def nothing(_: Mesh) -> None:
    pass


def gone(component: str) -> State:
    said = f'No running pods for "linkerd-{component}"'
    return State(f"{component} scaled to 0", scaled_to_zero(component), {"control plane pods are ready": said})


NEWER = {"expected_version": "edge-99.1.1"}
PLUGIN = ("ConfigMap", "ClusterRole", "ClusterRoleBinding", "ServiceAccount", "DaemonSet")
UP_TO_DATE = f"is running version {VERSION.partition('-')[2]} but the latest edge version is 99.1.1"

STATES = [
    State("no config", no_config, {"'linkerd-config' config map exists": 'configmaps "linkerd-config" not found'}),
    State("config no yaml", config_no_yaml, {"'linkerd-config' config map exists": "no YAML"}),
    State("no heartbeat", no_heartbeat, {"heartbeat ServiceAccount exist": "missing ServiceAccounts: linkerd-heartbeat"}),
    State("replica failure", replica_failure, {"control plane replica sets are ready": "FailedCreate: "}),
    State("unschedulable", unschedulable, {"no unschedulable pods": "linkerd-identity-7b-ghost: 0/3 nodes"}, warning=True),
    *map(gone, COMPONENTS),
    State("container unready", container_unready, {"control plane pods are ready": "container destination is not ready"}),
    State("pods outside", pods_outside, {"cluster networks contains all pods": 'clusterNetworks ["10.96.0.0/12"] do not'}),
    State("services outside", services_outside, {"cluster networks contains all services": "do not include svc "}),
    State("networks unreadable", networks_unreadable, {
        f"cluster networks contains all {what}": "can't be read" for what in ("node podCIDRs", "pods", "services")
    }),
    State("no cluster role", unlabelled(CLUSTER_ROLES, "linkerd-{}-identity"),
          {"control plane ClusterRoles exist": "missing ClusterRoles: linkerd-"}),
    State("no cluster role binding", unlabelled(CLUSTER_ROLE_BINDINGS, "linkerd-{}-proxy-injector"),
          {"control plane ClusterRoleBindings exist": "missing ClusterRoleBindings: linkerd-"}),
    State("no service account", no_account,
          {"control plane ServiceAccounts exist": "missing ServiceAccounts: linkerd-identity"}),
    State("no crd", no_crd, {"control plane CustomResourceDefinitions exist": "missing egressnetworks.policy.linkerd.io"}),
    State("old crd", old_crd, {"control plane CustomResourceDefinitions exist":
          "CRD httplocalratelimitpolicies.policy.linkerd.io is missing version v1alpha1"}),
    State("no injector webhook", unlabelled(MUTATING, "linkerd-proxy-injector-webhook-config"),
          {"control plane MutatingWebhookConfigurations exist": "missing MutatingWebhookConfigurations: linkerd-"}),
    State("no validator webhook", unlabelled(VALIDATING, "linkerd-sp-validator-webhook-config"),
          {"control plane ValidatingWebhookConfigurations exist": "missing ValidatingWebhookConfigurations: linkerd-"}),
    State("no gateway api", no_gateway_api, {"Gateway API CRDs are installed": "not installed"}),
    State("not highly available", not_available_twice, {"multiple replicas of control plane pods":
          "not enough replicas available for [linkerd-destination, linkerd-identity, linkerd-proxy-injector]"}, warning=True),
    State("extension twice", extension_twice, {"namespace configuration for extensions": "linkerd.io/extension=viz"},
          warning=True),
    State("control plane proxy unready", proxy_unready, {"control plane proxies are healthy": 'status is Running'}),
    State("control plane proxy outdated", proxy_outdated, {
        "control plane proxies are up-to-date": f"current version:\n\t* linkerd-identity-7b-old ({OLD_VERSION})",
        "control plane proxies and cli versions match": f"running {OLD_VERSION} but cli running {VERSION}",
    }, warning=True),
    State("newer release", nothing, {
        "cli is up-to-date": UP_TO_DATE, "control plane is up-to-date": UP_TO_DATE,
        "control plane proxies are up-to-date": "some proxies are not running the current version",
    }, warning=True, options=NEWER),
    State("other channel", nothing, {
        "cli is up-to-date": f"mismatched channels: running {VERSION} but retrieved stable-2.15.0",
        "control plane is up-to-date": "mismatched channels", "control plane proxies are up-to-date": "some proxies",
    }, warning=True, options={"expected_version": "stable-2.15.0"}),
]  # fmt: skip

PLUGINS = [
    *(State(f"no cni {kind}", cni(count), {f"cni plugin {kind} exists": ""}) for count, kind in enumerate(PLUGIN)),
]


@parameters(STATES)
async def test_is_found(mesh: Mesh, state: State) -> None:
    await expect(mesh, state)


@parameters(PLUGINS)
async def test_plugin_is_found(mesh: Mesh, state: State) -> None:
    state.options.update(cni_namespace=mesh.control)
    await expect(mesh, state)


async def test_whole_plugin_passes(mesh: Mesh) -> None:
    await cni(len(PLUGIN))(mesh)
    rows = await mesh.check(cni_namespace=mesh.control)
    assert [row.sentence for row in rows if row.category == "linkerd-cni-plugin"][-1] == (
        "cni plugin pod is running on all nodes"
    )
    assert {row.result for row in rows} == {"success"}
