"""`linkerd-existence`: the control plane is there, runs, and knows the cluster's networks; `control_plane` lists it."""

from __future__ import annotations

import ipaddress
from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import (
    COMPONENTS,
    CONTROL_PLANE_NS,
    NODES,
    Scope,
    control_plane_pods,
    missing,
    value,
    values,
)
from interceptor.mesh.check.model import PASSED, SKIPPED, Broken, Category, Check, Failed, Verdict

Object = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def category(scope: Scope) -> Category:
    """The category as Linkerd has it."""

    async def config(facts: Facts) -> Verdict:
        await values(facts, scope)
        return PASSED

    async def heartbeat(facts: Facts) -> Verdict:
        if value(await values(facts, scope), "disableHeartBeat"):
            return PASSED
        accounts = await facts.list(resources.SERVICE_ACCOUNTS, scope.namespace, CONTROL_PLANE_NS)
        return missing("ServiceAccounts", accounts, ["linkerd-heartbeat"])

    async def replica_sets(facts: Facts) -> Verdict:
        failures = [
            f"{condition.get('reason', '')}: {condition.get('message', '')}"
            for item in await facts.list(resources.REPLICA_SETS, scope.namespace)
            for condition in (item.get("status") or {}).get("conditions") or []
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ]
        return Failed("\n   ".join(failures)) if failures else PASSED

    async def unschedulable(facts: Facts) -> Verdict:
        for pod in await control_plane_pods(facts, scope):
            for condition in (pod.get("status") or {}).get("conditions") or []:
                if condition.get("reason") == "Unschedulable":
                    return Failed(f"{pod['metadata']['name']}: {condition.get('message', '')}")
        return PASSED

    async def ready(facts: Facts) -> Verdict:
        return judge_pods(await control_plane_pods(facts, scope))

    async def node_networks(facts: Facts) -> Verdict:
        networks, _ = await _networks(facts, scope)
        ranges = [node["spec"]["podCIDR"] for node in await facts.list(NODES, None) if node["spec"].get("podCIDR")]
        if not ranges:
            return SKIPPED  # some providers don't tell
        outside = sorted(text for text in ranges if not _holds(networks, ipaddress.ip_network(text, strict=False)))
        if not outside:
            return PASSED
        joined = "\\,".join(outside)
        return Failed(
            f"node has podCIDR(s) [{' '.join(outside)}] which are not contained in the Linkerd clusterNetworks.\n"
            f'\tTry installing linkerd via --set clusterNetworks="{joined}"'
        )

    async def pod_networks(facts: Facts) -> Verdict:
        networks, text = await _networks(facts, scope)
        for pod in await facts.list(resources.PODS, None):
            address = (pod.get("status") or {}).get("podIP")
            if address and not pod["spec"].get("hostNetwork") and not _holds(networks, _single(address)):
                return Failed(f"the Linkerd clusterNetworks [{text}] do not include pod {_place(pod)} ({address})")
        return PASSED

    async def service_networks(facts: Facts) -> Verdict:
        networks, text = await _networks(facts, scope)
        for service in await facts.list(resources.SERVICES, None):
            address = service["spec"].get("clusterIP")
            if address and address != "None" and not _holds(networks, _single(address)):
                return Failed(f"the Linkerd clusterNetworks [{text}] do not include svc {_place(service)} ({address})")
        return PASSED

    return Category(
        "linkerd-existence",
        (
            Check("'linkerd-config' config map exists", config, "l5d-existence-linkerd-config", fatal=True),
            Check("heartbeat ServiceAccount exist", heartbeat, "l5d-existence-sa", fatal=True),
            Check(
                "control plane replica sets are ready",
                replica_sets,
                "l5d-existence-replicasets",
                fatal=True,
                retry=True,
            ),
            Check("no unschedulable pods", unschedulable, "l5d-existence-unschedulable-pods", warning=True, retry=True),
            Check("control plane pods are ready", ready, "l5d-api-control-ready", fatal=True, retry=True),
            Check("cluster networks contains all node podCIDRs", node_networks, "l5d-cluster-networks-cidr"),
            Check("cluster networks contains all pods", pod_networks, "l5d-cluster-networks-pods"),
            Check("cluster networks contains all services", service_networks, "l5d-cluster-networks-pods"),
        ),
    )


def judge_pods(pods: list[Object]) -> Verdict:
    """Each component has a running pod all of whose containers are ready. Names are `linkerd-COMPONENT-SET-POD`."""
    running: dict[str, list[Object]] = {}
    for pod in pods:
        parts = pod["metadata"]["name"].split("-")
        if pod["status"].get("phase") == "Running" and parts[0] == "linkerd" and len(parts) >= 4:
            running.setdefault("-".join(parts[1:-2]), []).append(pod)
    for component in COMPONENTS:
        if component not in running:
            return Failed(f'No running pods for "linkerd-{component}"')
        unready = [_unready(pod) for pod in running[component]]
        if all(unready):
            pod, container = running[component][-1]["metadata"]["name"], unready[-1]
            return Failed(f"pod/{pod} container {container} is not ready")
    return PASSED


def _unready(pod: Object) -> str:
    names = [item["name"] for item in pod["status"].get("containerStatuses") or [] if not item["ready"]]
    return names[-1] if names else ""


async def _networks(facts: Facts, scope: Scope) -> tuple[list[Network], str]:
    text = str(value(await values(facts, scope), "clusterNetworks") or "")
    try:
        networks = [ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise Broken(f"clusterNetworks in linkerd-config can't be read: {error}") from error
    return networks, f'"{text}"'


def _holds(networks: list[Network], inner: Network) -> bool:
    return any(outer.version == inner.version and inner.subnet_of(outer) for outer in networks)  # type: ignore[arg-type]


def _single(address: str) -> Network:
    return ipaddress.ip_network(address)


def _place(item: Object) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"
