"""A namespace with one pod that serves HTTP and bulk, and a kubeconfig for each way of being someone."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster import Cluster as GivenCluster
from interceptor.kube import Access, Cluster, load_access
from interceptor.kube.resources import NAMESPACES, PODS, ROLE_BINDINGS, SERVICE_ACCOUNTS

# HTTP on 8000; on 8001 a line `down N` is answered with N bytes, and after `up N` and N bytes comes `ok`.
PROGRAM = """
import socketserver, subprocess, sys
class Bulk(socketserver.StreamRequestHandler):
    def handle(self):
        way, count = self.rfile.readline().split()
        count = int(count)
        if way == b"down":
            block = bytes(range(256)) * 256
            while count > 0:
                self.wfile.write(block[:count])
                count -= len(block)
        else:
            while count > 0:
                count -= len(self.rfile.read1(65536))
            self.wfile.write(b"ok")
subprocess.Popen([sys.executable, "-m", "http.server", "8000"])
socketserver.ThreadingTCPServer(("", 8001), Bulk).serve_forever()
"""


@dataclass(frozen=True)
class Place:
    """Where the tests happen."""

    kubeconfig: Path
    namespace: str
    token: str


@pytest.fixture(scope="module")
def place(cluster: GivenCluster) -> Iterator[Place]:
    namespace = f"e2e-kube-{secrets.token_hex(2)}"
    yield asyncio.run(_build(cluster, namespace))
    asyncio.run(_remove(cluster, namespace))


async def _build(cluster: GivenCluster, namespace: str) -> Place:
    async with Cluster(load_access(str(cluster.kubeconfig))) as api:
        await api.create(NAMESPACES, None, {"metadata": {"name": namespace}})
        await api.create(SERVICE_ACCOUNTS, namespace, {"metadata": {"name": "tester"}})
        binding = {
            "metadata": {"name": "tester"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "ServiceAccount", "name": "tester", "namespace": namespace}],
        }
        await api.create(ROLE_BINDINGS, namespace, binding)
        container = {
            "name": "app",
            "image": cluster.python_image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", PROGRAM],
            "readinessProbe": {"httpGet": {"path": "/etc/hostname", "port": 8000}, "periodSeconds": 1},
        }
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        await api.create(PODS, namespace, {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec})
        async with asyncio.timeout(120), aclosing(api.watch(PODS, namespace)) as events:
            async for event in events:
                if event.type != "SYNCED" and _ready(event.object):
                    break
        token, _ = await api.token(namespace, "tester", 3600)
        return Place(cluster.kubeconfig, namespace, token)


async def _remove(cluster: GivenCluster, namespace: str) -> None:
    async with Cluster(load_access(str(cluster.kubeconfig))) as api:
        await api.delete(NAMESPACES, None, namespace)


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


@pytest.fixture
def access(place: Place, tmp_path: Path) -> Callable[[str], Access]:
    """An access by the way that is named."""

    def load(way: str) -> Access:
        if way == "client certificate":
            return load_access(str(place.kubeconfig), namespace=place.namespace)
        if way == "impersonation":
            user = f"system:serviceaccount:{place.namespace}:tester"
            return load_access(str(place.kubeconfig), namespace=place.namespace, as_user=user)
        content = yaml.safe_load(place.kubeconfig.read_text())
        content["users"][0]["user"] = _user(way, place.token, tmp_path)
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(content))
        return load_access(str(path), namespace=place.namespace)

    return load


def _user(way: str, token: str, folder: Path) -> dict[str, Any]:
    if way == "token":
        return {"token": token}
    if way == "token file":
        (folder / "token").write_text(token + "\n")
        return {"tokenFile": "token"}
    assert way == "exec plugin"
    status = {"token": token}
    version = "client.authentication.k8s.io/v1"
    answer = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    return {
        "exec": {
            "apiVersion": version,
            "command": sys.executable,
            "args": ["-c", f"print({answer!r})"],
            "interactiveMode": "Never",
        }
    }
