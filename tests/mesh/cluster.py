"""The objects of a whole mesh as the API has them, statuses included: what the recorded outputs were recorded on."""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import Any

from e2e.mesh.installation import COMPONENTS, PROXY_IMAGE, VERSION, Installation, service

Object = dict[str, Any]

HERE = Path(__file__).parent
CONTROL, DATA = "linkerd", "shop"
# The pods of the recorded sample.
PODS = (
    "bind-all-64c694476-4kfct", "bind-lo-8d78b7457-57wjx", "bind-pod-7bf7b64758-crv5j", "books-6f59c667c4-rt895",
    "client-5b8cbd64d6-rjwp8", "client-books-84769d5b6b-mhmhc", "web-d4fff7cfd-7pzcw", "web-d4fff7cfd-htqqb",
)  # fmt: skip


def objects(installed: Installation, *, pods: tuple[str, ...] = PODS) -> list[tuple[Object, str]]:
    """All of them, each with its namespace."""
    wide = [
        _namespace(CONTROL, {"linkerd.io/is-control-plane": "true"}, "disabled"), _namespace(DATA, {}, "enabled"),
        *installed.crds(), *installed.cluster_wide(), node(),
    ]  # fmt: skip
    control: list[Object] = [item for item in installed.control_plane() if item["kind"] != "Deployment"]
    control += [deployment(name) for name in COMPONENTS]
    control += [_control_pod(installed, name) for name in COMPONENTS]
    data = [pod(installed, name) for name in pods]
    data += [_service(name) for name in ("bind-all", "bind-lo", "bind-pod", "books", "web")]
    found = [(item, "") for item in wide] + [(item, CONTROL) for item in control] + [(item, DATA) for item in data]
    return [(_placed(item, namespace), namespace) for item, namespace in found]


def node() -> Object:
    """Its heartbeat is of now: a whole run of the tests lasts longer than a clock may be off."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"type": "Ready", "status": "True", "lastHeartbeatTime": now}]
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "ground"}, "spec": {},
        "status": {"nodeInfo": {"containerRuntimeVersion": "containerd://1.7"}, "conditions": conditions},
    }  # fmt: skip


def pod(installed: Installation, name: str, namespace: str = DATA, **labels: str) -> Object:
    """A meshed pod that runs."""
    body, status = installed.ghost(name, namespace)
    app = name.rsplit("-", 2)[0]
    body["metadata"]["labels"].update({"app": app, **labels})
    body["spec"]["nodeName"] = "ground"
    return {**body, "status": copy.deepcopy({**status, "podIP": "10.244.0.9"})}


def deployment(name: str, replicas: int = 1) -> Object:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"linkerd-{name}"},
            "status": {"availableReplicas": replicas}}  # fmt: skip


def _control_pod(installed: Installation, component: str) -> Object:
    made = pod(installed, f"linkerd-{component}-5b8cbd64d6-aaaaa", CONTROL)
    made["spec"]["containers"][0]["name"] = component
    made["status"]["containerStatuses"][0]["name"] = component
    made["metadata"]["labels"].update(installed.labels(component))
    return made


def _service(name: str) -> Object:
    made = service(name, 8080)
    made["spec"]["clusterIP"] = "10.96.0.9"
    return made


def _namespace(name: str, labels: Object, inject: str) -> Object:
    metadata = {"name": name, "labels": labels, "annotations": {"linkerd.io/inject": inject}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _placed(item: Object, namespace: str) -> Object:
    metadata: Object = {**item["metadata"], **({"namespace": namespace} if namespace else {})}
    return {**copy.deepcopy(item), "metadata": copy.deepcopy(metadata)}


def kubeconfig(folder: Path, url: str, namespace: str = DATA) -> str:
    """A kubeconfig for an API that asks for nothing."""
    content = {
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": url}}], "users": [{"name": "it", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
    }  # fmt: skip
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return str(path)


__all__ = ["CONTROL", "DATA", "PODS", "PROXY_IMAGE", "VERSION", "deployment", "kubeconfig", "objects", "pod"]
