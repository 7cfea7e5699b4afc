"""The objects of the scenarios as plain dicts: the `echo` app, its Services, callers; used by `scene` and tests."""

from typing import Any

Object = dict[str, Any]

ECHO = ("python3", "-m", "e2e.programs.echo")
# A machine that stands still for some seconds is no reason to take a pod out of its Service.
READY = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 6}


def container(image: str, *ports: Object, **other: Any) -> Object:
    """The echo app on its ports (8080 when none is named), ready when it answers."""
    numbers = [str(port["containerPort"]) for port in ports] or ["8080"]
    listen = [word for number in numbers for word in ("--listen", number)]
    return {
        "name": "app",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*ECHO, *listen, "--linger", "2"],
        "ports": list(ports) or [{"containerPort": 8080}],
        "readinessProbe": READY,
        "resources": {"requests": {"cpu": "10m"}},
        **other,
    }


def deployment(
    *containers: Object, name: str = "echo", replicas: int = 1, pod: Object | None = None, **spec: Any
) -> Object:
    """A Deployment whose pods are labelled `app: NAME`."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": {"team": "shop"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {"note": "kept"}},
                "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 10, **(pod or {})},
            },
            **spec,
        },
    }


def service(
    name: str = "echo", target: int | str = 8080, /, *, app: str = "echo", port: int = 80, **fields: Any
) -> Object:
    """A Service for the pods labelled `app: APP`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": [{"port": port, "targetPort": target, **fields}]},
    }


def tools(image: str) -> Object:
    """A pod that waits to be asked things through `kubectl exec`."""
    return pod("tools", image, "python3", "-c", "import signal; signal.signal(15, lambda *_: exit(0)); signal.pause()")


def load(image: str, url: str, rate: float, name: str = "load") -> Object:
    """A pod that GETs `url` `rate` times a second until told to end."""
    return pod(name, image, "python3", "-m", "e2e.programs.load", url, "--rate", str(rate))


def pod(name: str, image: str, *command: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": name,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": list(command),
                "env": [{"name": "PYTHONPATH", "value": "/opt/site"}],
            }],
        },
    }  # fmt: skip
