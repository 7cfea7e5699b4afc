"""Scenarios 1, 4 and 6: a request from inside the cluster is served here, from every kind of pod, and then no more."""

import time

import pytest

from e2e import manifests
from e2e.kubectl import Object
from e2e.scene import Scene

LOCKED_DOWN: Object = {
    "runAsNonRoot": True,
    "runAsUser": 12345,
    "runAsGroup": 54321,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def test_local_then_cluster_again(scene: Scene) -> None:
    load = scene.echo_under_load()
    load.wait_for("CLUSTER")
    with scene.unchanged():
        local = scene.local()
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        ready = intercept.wait_for("ready")
        steady = load.wait_steady("LOCAL").at
        stopped = time.time()
        assert intercept.stop() == 130, intercept.transcript()
        ended = load.wait_steady("CLUSTER").at
    report = load.finish()
    assert not report.failed, report.told()
    assert report.between(steady, stopped).words() == {"LOCAL"}, report.told()
    names = [event.name for event in intercept.events if event.name != "note"]
    assert names[:4] == ["planned", "swapped", "connected", "ready"]
    assert names[-1] == "restored"
    scene.measured(
        f"ready {ready.at - intercept.started:.1f} s after the command, only LOCAL {steady - ready.at:+.1f} s from then, "
        f"only CLUSTER {ended - stopped:.1f} s after Ctrl-C; slowest {max(answer.ms for answer in report):.0f} ms"
    )


def test_every_replica_intercepted(scene: Scene) -> None:
    scene.echo(replicas=2, livenessProbe={**manifests.READY, "failureThreshold": 30})
    scene.tools()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        pods = scene.kubectl.pods()
        assert len(pods) == 2
        for pod in pods:
            assert scene.get(f"http://{pod['status']['podIP']}:8080/") == "200 LOCAL"
            assert all(status["ready"] for status in pod["status"]["containerStatuses"])
        intercept.stop()


def test_pod_without_service_or_volume(scene: Scene) -> None:
    scene.deploy(manifests.deployment(scene.container(), pod={"automountServiceAccountToken": False}))
    scene.tools()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        (pod,) = scene.kubectl.pods()
        assert scene.get(f"http://{pod['status']['podIP']}:8080/") == "200 LOCAL"
        intercept.stop()


@pytest.mark.parametrize("mode", ["own", "named", "no python in the app"])
def test_agent_image(scene: Scene, mode: str) -> None:
    """The agent runs in the app's own image, in a named one, and by default where the app has no Python."""
    arguments = {"own": ["--agent-image", "own"], "named": ["--agent-image", scene.cluster.python_image]}.get(mode, [])
    app, word = scene.container(), "CLUSTER"
    if not arguments:
        scene.cluster.named_like("python:3.13-slim")
        app = manifests.container(scene.cluster.bare(), command=["/be", "8080", "0.0.0.0"])
        word = "hello,"
    scene.deploy(manifests.deployment(app), manifests.service())
    scene.tools()
    scene.expect("http://echo/", f"200 {word}")
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", *arguments)
        scene.expect("http://echo/", "200 LOCAL")
        intercept.stop()
    scene.expect("http://echo/", f"200 {word}")


def test_restricted_namespace(scene: Scene) -> None:
    """No root, no capability, nothing writable: what the strictest Pod Security level demands."""
    scene.deploy(manifests.deployment(scene.container(securityContext=LOCKED_DOWN)), manifests.service())
    scene.tools()
    scene.kubectl("label", "namespace", scene.namespace, "pod-security.kubernetes.io/enforce=restricted")
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        scene.expect("http://echo/", "200 LOCAL")
        assert scene.kubectl.restarts() == 0
        intercept.stop()


def test_dry_run_changes_nothing(scene: Scene) -> None:
    scene.echo()
    with scene.unchanged():
        for target in ("svc/echo", "echo", "deployment/echo"):
            dry = scene.intercept(target, "--port", "8080", "--dry-run")
            assert dry.wait(120) == 0, dry.transcript()
            told = dry.text("stdout")
            for word in ("interceptor~1swap", "Lease", "Secret", "Role"):
                assert word in told, told
