"""A small Deployment on a real cluster, and a stand-in for the agent that only answers probes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from e2e.cluster import Cluster as GivenCluster
from e2e.kubectl import Kubectl
from interceptor.kube import Cluster, load_access
from interceptor.swap import SwapPlan
from interceptor.workload.objects import SessionNames
from interceptor.workload.rollout import session_of

Object = dict[str, Any]

_HEALTHY = """
import http.server, signal, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
http.server.HTTPServer(("", 47812), Health).serve_forever()
"""


def orders(image: str, **app: Any) -> Object:
    container = {
        "name": "app",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "http.server"],
        "args": ["8080"],
        "workingDir": "/tmp",
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
        "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 5},
        **app,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "orders"}},
            "template": {
                "metadata": {"labels": {"app": "orders"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }


@pytest.fixture
async def api(cluster: GivenCluster) -> AsyncIterator[Cluster]:
    async with Cluster(load_access(str(cluster.kubeconfig))) as api:
        yield api


@pytest.fixture
def names(kubectl: Kubectl) -> SessionNames:
    return SessionNames("orders-x7f2q", kubectl.namespace, "orders")


@pytest.fixture
def plan(names: SessionNames) -> SwapPlan:
    return SwapPlan(
        session=names.session,
        container="app",
        command=("python3", "-c", _HEALTHY),
        holder="ana@laptop",
        since="2026-11-23 04:28:00 UTC",
        health_port=47812,
        secret=names.object,
    )


@pytest.fixture
def deployed(cluster: GivenCluster, kubectl: Kubectl) -> Object:
    """The Deployment, rolled out, with the Secret that the swap mounts."""
    kubectl("create", "secret", "generic", "interceptor-orders-x7f2q", "--from-literal=agent.pyz=x")
    kubectl.apply(orders(cluster.python_image))
    kubectl.rolled_out("deploy/orders")
    return kubectl.json("get", "deploy", "orders")


@pytest.fixture
def written(cluster: GivenCluster, kubectl: Kubectl) -> Object:
    """The Deployment without a pod: for what only objects decide."""
    body = orders(cluster.python_image)
    body["spec"]["replicas"] = 0
    kubectl.apply(body)
    return kubectl.json("get", "deploy", "orders")


def agents_gone(kubectl: Kubectl, session: str) -> None:
    """Wait until the last agent's pod has ended: a rollout is over a moment before."""
    deadline = time.monotonic() + 90
    while any(session_of(pod) == session for pod in kubectl.items("pods")):
        assert time.monotonic() < deadline, f"agents of {session} are left"
        time.sleep(0.2)
