"""Ports that are opaque, written in every legal way."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.mesh.installation import service
from interceptor.mesh.check.linkerd.opaque import ANNOTATION, mismatch

Object = dict[str, Any]


def pod(opaque: str = "") -> Object:
    ports = [{"containerPort": 8080, "name": "http"}]
    annotations = {ANNOTATION: opaque} if opaque else {}
    return {
        "metadata": {"name": "p", "annotations": annotations},
        "spec": {"containers": [{"name": "app", "ports": ports}]},
    }


def of(opaque: str, target: int | str = 8080) -> Object:
    return service("s", 80, target, annotations={ANNOTATION: opaque} if opaque else {})


@pytest.mark.parametrize(
    ("on_service", "on_pod", "target"),
    [("", "", 8080), ("80", "8080", 8080), ("80", "http", "http"), ("http", "8080", 8080), ("1-100", "8000-9000", 8080),
     (" 80 , 443 ", "8080", 8080), ("443", "", 8080)],
)  # fmt: skip
def test_agreement(on_service: str, on_pod: str, target: int | str) -> None:
    assert mismatch(of(on_service, target), pod(on_pod)) == ""


def test_pod_lacks_it() -> None:
    assert mismatch(of("80"), pod()) == (
        f"service s expects target port 8080 to be opaque; add it to pod p {ANNOTATION} annotation"
    )


@pytest.mark.parametrize(("target", "shown"), [(8080, "8080"), ("http", "http")])
def test_service_lacks_it(target: int | str, shown: str) -> None:
    assert mismatch(of("", target), pod("8080")) == (
        f"service s targets the opaque port {shown} through 80; add 80 to its {ANNOTATION} annotation"
    )
