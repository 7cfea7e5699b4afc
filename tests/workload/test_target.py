"""What may be typed as TARGET, and which container is meant."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.errors import InterceptorError, UsageError
from interceptor.kube import resources
from interceptor.workload.target import Target, choose_container, parse


@pytest.mark.parametrize(
    ("text", "resource"),
    [
        ("deploy/orders", resources.DEPLOYMENTS),
        ("Deployment/orders", resources.DEPLOYMENTS),
        ("deployments.apps/orders", resources.DEPLOYMENTS),
        ("svc/orders", resources.SERVICES),
        ("po/orders", resources.PODS),
        ("sts/orders", resources.STATEFUL_SETS),
        ("orders", None),
    ],
)
def test_spellings(text: str, resource: Any) -> None:
    assert parse(text) == Target(resource, "orders")


@pytest.mark.parametrize("text", ["", "deploy/", "deploy/a/b", "ingress/orders"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def deployment(*containers: str, **annotations: str) -> dict[str, Any]:
    spec = {"containers": [{"name": name} for name in containers], "initContainers": [{"name": "migrate"}]}
    template = {
        "metadata": {"annotations": {key.replace("_", "-"): value for key, value in annotations.items()}},
        "spec": spec,
    }
    return {"kind": "Deployment", "metadata": {"name": "orders"}, "spec": {"template": template}}


def test_only_container() -> None:
    assert choose_container(deployment("app"), None) == "app"


def test_mesh_proxy_does_not_count() -> None:
    assert choose_container(deployment("linkerd-proxy", "app"), None) == "app"


def test_several_need_a_choice() -> None:
    with pytest.raises(UsageError, match="choose one: -c app or -c cache"):
        choose_container(deployment("app", "cache"), None)


def test_templates_default_counts() -> None:
    workload = deployment("app", "cache")
    workload["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = "cache"
    assert choose_container(workload, None) == "cache"


def test_wanted_container() -> None:
    assert choose_container(deployment("app", "cache"), "cache") == "cache"
    with pytest.raises(InterceptorError, match="no container 'web'; it has: app, cache"):
        choose_container(deployment("app", "cache"), "web")
    with pytest.raises(InterceptorError, match="init container"):
        choose_container(deployment("app"), "migrate")
