"""The injector's rules."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.mesh.check.linkerd import injection

Object = dict[str, Any]


def pod(inject: str = "", *containers: str, phase: str = "Running", **spec: Any) -> Object:
    names = [{"name": name} for name in containers or ("app",)]
    annotations = {"linkerd.io/inject": inject} if inject else {}
    return {
        "metadata": {"name": "p", "annotations": annotations},
        "spec": {"containers": names, **spec},
        "status": {"phase": phase},
    }


def namespace(inject: str) -> Object:
    return {"metadata": {"name": "n", "annotations": {"linkerd.io/inject": inject}}}


@pytest.mark.parametrize(
    ("around", "inside", "wanted"),
    [("enabled", "", True), ("enabled", "disabled", False), ("disabled", "enabled", True), ("", "ingress", True),
     ("ingress", "", True), ("", "", False), ("true", "", False), ("enabled", "true", False)],
)  # fmt: skip
def test_who_is_wanted(around: str, inside: str, wanted: bool) -> None:
    assert injection.wanted(namespace(around), pod(inside)) is wanted
    assert not injection.wanted(None, pod())


TOKEN: Object = {"projected": {"sources": [{"serviceAccountToken": {}}]}}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (pod(), ""),
        (pod(hostNetwork=True), "the host's network"),
        (pod(automountServiceAccountToken=False), "needs a token"),
        (pod("", automountServiceAccountToken=False, volumes=[TOKEN]), ""),
        (pod("", "app", "istio-proxy"), "another sidecar, istio-proxy"),
    ],
)
def test_obstacles(found: Object, why: str) -> None:
    assert why in injection.obstacle(None, found)
    assert bool(injection.obstacle(None, found)) is bool(why)


def test_those_who_are_over_or_meshed_lack_nothing() -> None:
    pods = [pod(), pod("", "app", "linkerd-proxy"), pod(phase="Succeeded"), pod("disabled")]
    assert [item for item, _ in injection.unmeshed(namespace("enabled"), pods)] == pods[:1]
