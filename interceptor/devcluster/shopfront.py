"""The shop's objects, the same for the dev cluster and a real one; `cli.demo` creates them. Pure."""

from __future__ import annotations

from pathlib import Path

from interceptor.devcluster.objects import Object

PROGRAM = Path(__file__).with_name("shop.py")
PATH_IN_POD = "/shop/shop.py"
SERVICES = ("web", "orders", "prices")
PORT = 8080


def config_map() -> Object:
    """Return the ConfigMap that carries the program."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "shop"},
        "data": {PROGRAM.name: PROGRAM.read_text()},
    }


def service(name: str) -> Object:
    """Return a Service of the shop."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
    }


def deployment(name: str, image: str) -> Object:
    """Return a Deployment of the shop; it asks for nothing that Pod Security `restricted` forbids."""
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", PATH_IN_POD, name],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "shop", "mountPath": "/shop", "readOnly": True}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "containers": [container],
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 1000,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "volumes": [{"name": "shop", "configMap": {"name": "shop"}}],
                },
            },
        },
    }
