"""The workload that is looked at, and what lies around it in its namespace; every module beside this one asks here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import PROXY, Scope
from interceptor.workload.kinds import title_of
from interceptor.workload.selectors import pods_query, selects

Object = dict[str, Any]

_MESH_CONTAINERS = (PROXY, "istio-proxy")


@dataclass(frozen=True)
class Subject:
    """A workload as `workload.target` resolved it, and where the mesh's control plane is."""

    workload: Object
    namespace: str
    scope: Scope

    @property
    def title(self) -> str:
        """As people type it."""
        return title_of(self.workload)

    @property
    def flag(self) -> str:
        """For commands to type."""
        return f"-n {self.namespace}"

    @property
    def template(self) -> Object:
        """What its pods are made from."""
        template: Object = self.workload["spec"]["template"]
        return template

    async def pods(self, facts: Facts) -> list[Object]:
        """Its pods that are not on their way out."""
        found = await facts.list(resources.PODS, self.namespace, pods_query(self.workload))
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def neighbours(self, facts: Facts) -> list[Object]:
        """All pods of the namespace."""
        return await facts.list(resources.PODS, self.namespace)

    async def services(self, facts: Facts) -> list[Object]:
        """The Services that send to its pods."""
        found = await facts.list(resources.SERVICES, self.namespace)
        return [item for item in found if selects(item["spec"].get("selector") or {}, self.workload)]


def name(item: Object) -> str:
    """An object's name."""
    return str(item["metadata"]["name"])


def app_containers(pod_spec: Object) -> list[Object]:
    """The containers of a pod that are not a mesh's."""
    return [item for item in pod_spec["containers"] if item["name"] not in _MESH_CONTAINERS]


def declared_ports(pod_spec: Object) -> list[tuple[int, str]]:
    """The app's ports: number and name."""
    return [
        (port["containerPort"], port.get("name", ""))
        for container in app_containers(pod_spec)
        for port in container.get("ports") or []
    ]


def target_of(port: Object, pod_spec: Object) -> int | None:
    """The number that a Service's port leads to in such a pod, None where its name leads nowhere."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    return next((number for number, called in declared_ports(pod_spec) if called == target), None)


def targets(services: list[Object], pod_spec: Object) -> set[int]:
    """All ports of a pod that Services lead to."""
    found = {target_of(port, pod_spec) for service in services for port in service["spec"].get("ports") or []}
    return {number for number in found if number is not None}


def probes(pod_spec: Object) -> Iterator[tuple[Object, str, Object]]:
    """Each of the app's probes: its container, what kind it is, itself."""
    for container in app_containers(pod_spec):
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if container.get(kind):
                yield container, kind, container[kind]


def probe_port(container: Object, probe: Object) -> int | None:
    """The number of the port that a probe asks, None where its name leads nowhere or it asks none."""
    aim = probe.get("httpGet") or probe.get("tcpSocket") or probe.get("grpc")
    if aim is None:
        return None
    if isinstance(aim["port"], int):
        return int(aim["port"])
    ports = container.get("ports") or []
    return next((port["containerPort"] for port in ports if port.get("name") == aim["port"]), None)
