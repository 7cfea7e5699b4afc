"""What the admission plug-ins and the scheduler add to new objects: service accounts, addresses, tolerations.

Called by `registry`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interceptor.devcluster import resources
from interceptor.devcluster.objects import Object, deleting, name_of, suffix
from interceptor.devcluster.status import ApiError, forbidden, invalid, not_found, unsupported

if TYPE_CHECKING:
    from interceptor.devcluster.addresses import AddressPool
    from interceptor.devcluster.resources import Resource
    from interceptor.devcluster.store import Store

NODE = "dev"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  (a path)
_TOKEN_SECONDS = 3607  # Kubernetes' own default for the mounted token
_PROTECTED = ("default", "kube-system", "kube-public")


class Admission:
    """The admission chain of the dev cluster."""

    def __init__(self, services: AddressPool) -> None:
        self._services = services

    def create(self, store: Store, resource: Resource, obj: Object) -> None:
        """Complete or refuse a new object."""
        if resource.namespaced:
            self._namespace(store, resource, obj)
        if resource is resources.PODS:
            self._service_account(store, obj)
            _tolerations(obj["spec"])
            obj["spec"].setdefault("nodeName", NODE)
            obj["status"] = {"phase": "Pending", "qosClass": _qos(obj["spec"])}
        elif resource is resources.SERVICES:
            self._service(obj)
        elif resource is resources.JOBS:
            _podless(obj["spec"])

    def update(self, resource: Resource, old: Object, new: Object) -> None:
        """Complete or refuse a change."""
        if resource is resources.SERVICES:
            spec = new["spec"]
            for name in ("clusterIP", "clusterIPs"):
                if name in old["spec"]:
                    spec.setdefault(name, old["spec"][name])
            if spec.get("clusterIP") != old["spec"].get("clusterIP"):
                words = f'Invalid value: ["{spec.get("clusterIP", "")}"]: may not change once set'
                raise invalid(resource, name_of(new), [("FieldValueInvalid", "spec.clusterIPs[0]", words)])
            _served_types(spec)
        elif resource is resources.JOBS:
            _podless(new["spec"])

    def _namespace(self, store: Store, resource: Resource, obj: Object) -> None:
        name = obj["metadata"]["namespace"]
        found = store.get(resources.NAMESPACES, "", name)
        if found is None:
            raise not_found(resources.NAMESPACES, name)
        if deleting(found):
            raise forbidden(
                resource.qualified,
                name_of(obj),
                f"unable to create new content in namespace {name} because it is being terminated",
                {
                    "name": name_of(obj),
                    "kind": resource.plural,
                    "causes": [
                        {
                            "reason": "NamespaceTerminating",
                            "message": f"namespace {name} is being terminated",
                            "field": "metadata.namespace",
                        }
                    ],
                },
            )

    def _service_account(self, store: Store, pod: Object) -> None:
        spec, namespace = pod["spec"], pod["metadata"]["namespace"]
        name = spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = name
        account = store.get(resources.SERVICEACCOUNTS, namespace, name)
        if account is None:
            raise forbidden(
                "pods",
                name_of(pod),
                f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found',
                {"name": name_of(pod), "kind": "pods"},
            )
        wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
        open_containers = [
            container
            for container in containers
            if all(mount["mountPath"] != TOKEN_PATH for mount in container.get("volumeMounts") or ())
        ]
        if not wanted or not open_containers:
            return
        volume = f"kube-api-access-{suffix()}"
        spec.setdefault("volumes", []).append(token_volume(volume))
        for container in open_containers:
            container.setdefault("volumeMounts", []).append({"name": volume, "readOnly": True, "mountPath": TOKEN_PATH})

    def _service(self, obj: Object) -> None:
        spec = obj["spec"]
        _served_types(spec)
        if spec["type"] == "ExternalName" or spec.get("clusterIP") == "None":
            if spec.get("clusterIP") == "None":
                spec["clusterIPs"] = ["None"]
            return
        spec["clusterIP"] = self._services.take(spec.get("clusterIP"))
        spec["clusterIPs"] = [spec["clusterIP"]]


def _served_types(spec: Object) -> None:
    if spec["type"] in ("NodePort", "LoadBalancer"):
        raise unsupported(f"Services of type {spec['type']}")


def _podless(spec: Object) -> None:
    if spec["parallelism"] > 0 and not spec.get("suspend"):
        raise unsupported("Jobs that run pods (parallelism above 0)")


def token_volume(name: str) -> Object:
    """Return the projected volume every pod gets: token, cluster CA, namespace."""
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {
                    "downwardAPI": {
                        "items": [
                            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
                        ]
                    }
                },
            ],
        },
    }


def _tolerations(spec: Object) -> None:
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if all(item.get("key") != key for item in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _qos(spec: Object) -> str:
    resources_of = [container.get("resources") or {} for container in spec["containers"]]
    if not any(item.get("limits") or item.get("requests") for item in resources_of):
        return "BestEffort"
    guaranteed = all(
        set(item.get("limits") or ()) >= {"cpu", "memory"}
        and item.get("limits") == item.get("requests", item.get("limits"))
        for item in resources_of
    )
    return "Guaranteed" if guaranteed else "Burstable"


def check_delete(resource: Resource, name: str) -> None:
    """Refuse to delete what the cluster lives on."""
    if resource is resources.NAMESPACES and name in _PROTECTED:
        raise ApiError(403, "Forbidden", f'namespaces "{name}" is forbidden: this namespace may not be deleted')
