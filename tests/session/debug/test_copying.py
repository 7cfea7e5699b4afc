"""A copy is like its pod in what it runs, and nobody's in what it is."""

from __future__ import annotations

from typing import Any

from interceptor.session.debug.copying import copied

OWNER = {"kind": "Job", "name": "interceptor-web-abcde", "uid": "1", "apiVersion": "batch/v1"}


def pod(**spec: Any) -> dict[str, Any]:
    app = {"name": "app", "image": "shop/web", "livenessProbe": {}, "readinessProbe": {},
           "ports": [{"containerPort": 80, "hostPort": 8080}]}  # fmt: skip
    return {
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "9", "ownerReferences": [{"name": "web", "controller": True}],
            "labels": {"app": "web", "linkerd.io/control-plane-ns": "linkerd"},
            "annotations": {"linkerd.io/inject": "enabled", "note": "x"},
        },
        "spec": {"nodeName": "n1", "containers": [app], "ephemeralContainers": [{"name": "old"}], **spec},
    }  # fmt: skip


def test_it_is_nobodys() -> None:
    made, notes = copied(pod(), "web-1-debug-abcde", OWNER, {"mine": "1"}, {"name": "tools"})
    assert made["metadata"]["labels"] == {"linkerd.io/control-plane-ns": "linkerd", "mine": "1"}
    assert made["metadata"]["annotations"] == {"linkerd.io/inject": "enabled"}
    assert made["metadata"]["ownerReferences"] == [OWNER]
    assert "uid" not in made["metadata"]
    assert not {"nodeName", "ephemeralContainers"} & set(made["spec"])
    assert made["spec"]["shareProcessNamespace"] is True
    assert [one["name"] for one in made["spec"]["containers"]] == ["app", "tools"]
    assert made["spec"]["containers"][0] == {"name": "app", "image": "shop/web", "ports": [{"containerPort": 80}]}
    assert "port of its node" in notes[0]


def test_claims_keep_it_on_the_node() -> None:
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "web-data"}}]
    made, notes = copied(pod(volumes=volumes), "x", OWNER, {}, {"name": "tools"})
    assert made["spec"]["nodeName"] == "n1"
    assert any("web-data" in note for note in notes)


def test_given_pod_stays_as_it_is() -> None:
    given = pod()
    copied(given, "x", OWNER, {}, {"name": "tools"})
    assert given == pod()
