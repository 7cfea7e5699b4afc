"""Scenario 7: the kubelet's probes are answered while the local process is stopped, as at a breakpoint."""

import signal
import time

import pytest

from e2e import manifests
from e2e.kubectl import Object
from e2e.scene import LONG, Scene

HTTP: Object = {"httpGet": {"path": "/ready", "port": 8080}}
TCP: Object = {"tcpSocket": {"port": 8080}}
EXEC: Object = {
    "exec": {"command": ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080')"]}
}
# Two that fail in a row end a container: an agent that asked a stopped process would soon be dead. But not one on a machine
# that stands still for a few seconds; and its start is nobody's haste.
FAST: Object = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 2}
PATIENT: Object = {"failureThreshold": 90}
PERIOD = 5 if LONG else 1
STOPPED = 300 if LONG else 15  # seconds: many more periods than a probe may fail


@pytest.mark.timeout(STOPPED + 180)
@pytest.mark.parametrize("probe", [HTTP, TCP, EXEC], ids=["http", "tcp", "exec"])
def test_stopped_process_keeps_pod(scene: Scene, probe: Object) -> None:
    fast = {**probe, **FAST, "periodSeconds": PERIOD}
    app = scene.container(livenessProbe=fast, readinessProbe=fast, startupProbe={**fast, **PATIENT})
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


def test_grpc_probe_while_stopped(scene: Scene) -> None:
    """An app whose health is asked over gRPC: the agent answers in its place."""
    fast = {"grpc": {"port": 8080}, **FAST}
    app = scene.container(
        command=["python3", "-m", "e2e.programs.streams", "server", "grpc", "8080", "0.0.0.0"],
        env=[{"name": "PYTHONPATH", "value": "/opt/site"}],
        livenessProbe=fast, readinessProbe=fast, startupProbe={**fast, **PATIENT},
    )  # fmt: skip
    scene.deploy(manifests.deployment(app))
    server = scene.server("grpc")
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{server.port}:8080")
        server.send(signal.SIGSTOP)
        time.sleep(STOPPED)
        (pod,) = scene.kubectl.pods()
        (status,) = pod["status"]["containerStatuses"]
        assert (status["ready"], status["restartCount"]) == (True, 0)
        server.send(signal.SIGCONT)
        intercept.stop()


def test_not_started_process_keeps_pod(scene: Scene) -> None:
    """No local process at all: probes succeed, and requests are answered with a reason."""
    fast = {**HTTP, **FAST}
    scene.echo(livenessProbe=fast, readinessProbe=fast, startupProbe={**fast, **PATIENT})
    scene.tools()
    with scene.unchanged():
        intercept = scene.intercept("deploy/echo", "--port", "1:8080", "--hold", "1")
        intercept.wait_for("connected")
        scene.kubectl.rolled_out("deployment/echo")
        scene.expect("http://echo/", "503")
        time.sleep(5)
        (pod,) = scene.kubectl.pods()
        assert pod["status"]["containerStatuses"][0]["ready"]
        assert scene.kubectl.restarts() == 0
        intercept.stop()
