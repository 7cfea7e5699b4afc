"""An agent that can't start: undone by itself, with the cluster's own words, and callers never notice."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e2e import manifests
from e2e.kubectl import Object
from e2e.scene import Scene

FILES = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "data": {"a": "b"}}


@contextmanager
def quota(scene: Scene) -> Iterator[None]:
    """Room for the pods that are there and no more."""
    there = str(len(scene.kubectl.items("pods")))
    scene.kubectl.apply(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one"}, "spec": {"hard": {"pods": there}}}
    )
    # Before it is counted, a pod is refused in other words, and those a Deployment repeats as long as it is refused.
    scene.kubectl("wait", f"--for=jsonpath={{.status.used.pods}}={there}", "resourcequota/one", "--timeout=60s")
    yield
    scene.kubectl("delete", "resourcequota", "one")


@contextmanager
def pod_security(scene: Scene) -> Iterator[None]:
    """Enforced since the app was deployed, which would not be admitted any more either."""
    label = "pod-security.kubernetes.io/enforce"
    scene.kubectl("label", "namespace", scene.namespace, f"{label}=restricted")
    yield
    scene.kubectl("label", "namespace", scene.namespace, f"{label}-")


@contextmanager
def missing_volume(scene: Scene) -> Iterator[None]:
    """A ConfigMap that the app's pods mount was deleted meanwhile: no new pod of it starts."""
    scene.kubectl("delete", "configmap", "files")
    yield
    scene.kubectl.apply(FILES)


@pytest.mark.timeout(400)
def test_undone_with_the_clusters_words(scene: Scene) -> None:
    pod: Object = {"volumes": [{"name": "files", "configMap": {"name": "files"}}]}
    app = scene.container(volumeMounts=[{"name": "files", "mountPath": "/files"}])
    scene.kubectl.apply(FILES)
    scene.deploy(manifests.deployment(app, pod=pod), manifests.service())
    load = scene.load(rate=20)
    load.wait_for("CLUSTER")
    for obstacle, said in (
        (quota, "exceeded quota"),
        (pod_security, "violates PodSecurity"),
        (missing_volume, 'configmap "files" not found'),
    ):
        with obstacle(scene), scene.unchanged():
            intercept = scene.intercept("deploy/echo", "--port", "8080", "--", "sleep", "100")
            swapped = intercept.wait_for("swapped")
            assert intercept.wait(120) == 1, intercept.transcript()
            (failed,) = [event for event in intercept.events if event.name == "failed"]
            scene.measured(f"undone after {failed.at - swapped.at:.1f} s: {failed['text']}")
            assert said in failed["text"], failed
            assert failed["hint"]
    report = load.finish()
    assert report.words() == {"CLUSTER"}, report.told()
