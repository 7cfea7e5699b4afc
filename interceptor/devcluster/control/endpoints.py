"""Endpoints and EndpointSlices: which ready pods stand behind each Service.

Read by the Service proxy and the host names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interceptor.devcluster import resources, selection
from interceptor.devcluster.admission import NODE
from interceptor.devcluster.control.deployments import owner_reference
from interceptor.devcluster.control.loop import Controller
from interceptor.devcluster.objects import Object, deleting, is_true, name_of, owned_by, uid_of
from interceptor.devcluster.registry import DeleteOptions
from interceptor.devcluster.store import Change, Key

_SERVICE = "kubernetes.io/service-name"


def target_port(pod: Object, port: Object) -> int | None:
    """Return the number a Service's port means on a pod; None where the pod has no port of that name."""
    target = port["targetPort"]
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for own in container.get("ports") or ():
            if own.get("name") == target and own["protocol"] == port["protocol"]:
                return int(own["containerPort"])
    return None


class Endpoints(Controller):
    """The endpoints and endpoint slice controllers."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A Service, or every Service of a pod's namespace that selects it."""
        namespace = change.obj["metadata"].get("namespace", "")
        if change.resource is resources.SERVICES:
            yield namespace, name_of(change.obj)
        elif change.resource is resources.PODS:
            labels = [obj["metadata"].get("labels") or {} for obj in (change.obj, change.previous) if obj]
            for service in self.store.list(resources.SERVICES, namespace):
                if any(selection.equal_labels(service["spec"].get("selector"), given) for given in labels):
                    yield namespace, name_of(service)

    def reconcile(self, key: Key) -> float | None:
        """Write both objects of one Service."""
        namespace, name = key
        service = self.store.get(resources.SERVICES, *key)
        if service is None:
            if self.store.get(resources.ENDPOINTS, namespace, name):
                self.registry.delete(resources.ENDPOINTS, namespace, name, DeleteOptions())
            return None
        selector = service["spec"].get("selector")
        if not selector:
            return None  # whoever wrote the Service writes its endpoints
        pods = [
            pod
            for pod in self.store.list(resources.PODS, namespace)
            if selection.equal_labels(selector, pod["metadata"].get("labels") or {})
            and (pod["status"].get("podIP"))
            and pod["status"]["phase"] not in ("Succeeded", "Failed")
        ]
        self._endpoints(service, [pod for pod in pods if not deleting(pod)])
        self._slice(service, pods)
        return None

    def _put(self, resource: resources.Resource, namespace: str, obj: Object) -> None:
        old = self.store.get(resource, namespace, obj["metadata"]["name"])
        if old is None:
            self.registry.create(resource, namespace, obj)
        else:

            def replace(changed: Object) -> None:
                for field in ("subsets", "endpoints", "ports"):
                    changed.pop(field, None)
                changed.update({field: value for field, value in obj.items() if field != "metadata"})

            self.registry.modify(resource, namespace, obj["metadata"]["name"], replace)

    def _endpoints(self, service: Object, pods: list[Object]) -> None:
        groups: dict[tuple[tuple[str, int, str], ...], dict[str, list[Object]]] = {}
        for pod in pods:
            ports = _pod_ports(service, pod)
            if not ports:
                continue
            group = groups.setdefault(tuple(ports), {"addresses": [], "notReadyAddresses": []})
            ready = is_true(pod, "Ready") or service["spec"].get("publishNotReadyAddresses")
            group["addresses" if ready else "notReadyAddresses"].append(
                {
                    "ip": pod["status"]["podIP"],
                    "nodeName": NODE,
                    "targetRef": _target(pod),
                }
            )
        subsets = [
            {kind: found for kind, found in group.items() if found} | {"ports": [_port(*port) for port in ports]}
            for ports, group in groups.items()
        ]
        obj: Object = {"metadata": {"name": name_of(service), "labels": dict(service["metadata"].get("labels") or {})}}
        if subsets:
            obj["subsets"] = subsets
        self._put(resources.ENDPOINTS, service["metadata"]["namespace"], obj)

    def _slice(self, service: Object, pods: list[Object]) -> None:
        namespace = service["metadata"]["namespace"]
        existing = next(
            (item for item in self.store.list(resources.ENDPOINTSLICES, namespace) if owned_by(item, service)), None
        )
        endpoints: list[Any] = []
        ports: list[tuple[str, int, str]] = []
        for pod in pods:
            ports = ports or _pod_ports(service, pod)
            ready = is_true(pod, "Ready")
            endpoints.append(
                {
                    "addresses": [pod["status"]["podIP"]],
                    "nodeName": NODE,
                    "targetRef": _target(pod),
                    "conditions": {
                        "ready": bool((ready and not deleting(pod)) or service["spec"].get("publishNotReadyAddresses")),
                        "serving": ready,
                        "terminating": deleting(pod),
                    },
                }
            )
        obj: Object = {
            "metadata": {
                "labels": {
                    _SERVICE: name_of(service),
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
                "ownerReferences": [owner_reference(service)],
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [_port(*port) for port in ports],
        }
        if existing:
            obj["metadata"]["name"] = name_of(existing)
        else:
            obj["metadata"] |= {"name": f"{name_of(service)}-{uid_of(service)[:5]}"}
        self._put(resources.ENDPOINTSLICES, namespace, obj)


def _pod_ports(service: Object, pod: Object) -> list[tuple[str, int, str]]:
    found = []
    for port in service["spec"].get("ports") or ():
        number = target_port(pod, port)
        if number is not None:
            found.append((port.get("name", ""), number, port["protocol"]))
    return found


def _port(name: str, number: int, protocol: str) -> Object:
    port: Object = {"port": number, "protocol": protocol}
    return {"name": name} | port if name else port


def _target(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": name_of(pod), "uid": uid_of(pod)}
