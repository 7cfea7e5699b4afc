"""Scenario 7: the kubelet's probes are answered while the local process is stopped, as at a breakpoint."""

import signal

import pytest

from e2e import manifests
from e2e.kubectl import Object
from e2e.scene import LONG, Scene

HTTP: Object = {"httpGet": {"path": "/ready", "port": 8080}}
TCP: Object = {"tcpSocket": {"port": 8080}}
EXEC: Object = {
    "exec": {"command": ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080')"]}
}
PERIOD = 5 if LONG else 1
STOPPED = 300 if LONG else 15  # seconds: many more periods than a probe may fail


@pytest.mark.timeout(STOPPED + 180)
@pytest.mark.parametrize("probe", [HTTP, TCP, EXEC], ids=["http", "tcp", "exec"])
def test_stopped_process_keeps_pod(scene: Scene, probe: Object) -> None:
    fast = {**probe, "periodSeconds": PERIOD, "timeoutSeconds": 1, "failureThreshold": 2}
    app = scene.container(livenessProbe=fast, readinessProbe=fast, startupProbe=fast)
    scene.deploy(manifests.deployment(app), manifests.service())
    load = scene.load(rate=2)
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        (pod,) = scene.kubectl.pods()
        local.send(signal.SIGSTOP)
        load.run_for(STOPPED)
        (same,) = scene.kubectl.pods()
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]
        (status,) = same["status"]["containerStatuses"]
        assert (status["ready"], status["restartCount"]) == (True, 0)
        local.send(signal.SIGCONT)
        load.wait_for("LOCAL", after=load.answers[-1].at)
        intercept.stop()


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_not_started_process_keeps_pod(scene: Scene, kind: str) -> None:
    """No local process at all: probes succeed, also those over gRPC, and requests are answered with a reason."""
    probe = {"grpc": {"port": 8080}} if kind == "grpc" else HTTP
    fast = {**probe, "periodSeconds": 1, "failureThreshold": 2}
    app = scene.container()
    if kind == "grpc":  # the echo app doesn't speak it: a rollout of its own would hang, so swap first
        app["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
        app["livenessProbe"] = {**fast, "initialDelaySeconds": 600}
    else:
        app |= {"livenessProbe": fast, "readinessProbe": fast}
    scene.deploy(manifests.deployment(app), manifests.service())
    scene.tools()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", "1:8080", "--hold", "1")
        seen = scene.ask("client", "burst", "http://echo/", 2, 2)["seen"]
        assert all(answer.startswith("503") for answer in seen), seen
        (pod,) = scene.kubectl.pods()
        assert pod["status"]["containerStatuses"][0]["ready"]
        assert scene.kubectl.restarts() == 0
        intercept.stop()
