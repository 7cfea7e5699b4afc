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
PROBES = {"http": HTTP, "tcp": TCP, "exec": EXEC, "grpc": {"grpc": {"port": 8080}}}
# Two that fail in a row end a container: an agent that asked a stopped process would soon be dead. But not one on a machine
# that stands still for a few seconds; and its start is nobody's haste.
FAST: Object = {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 2}
PATIENT: Object = {"failureThreshold": 90}
PERIOD = 5 if LONG else 1
STOPPED = 300 if LONG else 15  # seconds: many more periods than a probe may fail


def workload(scene: Scene, name: str, probe: Object) -> Object:
    """An app whose health is asked so."""
    asked = {**probe, **FAST, "periodSeconds": PERIOD}
    probes: Object = {"livenessProbe": asked, "readinessProbe": asked, "startupProbe": {**asked, **PATIENT}}
    if name == "grpc":
        probes["command"] = ["python3", "-m", "e2e.programs.streams", "server", "grpc", "8080", "0.0.0.0"]
        probes["env"] = [{"name": "PYTHONPATH", "value": "/opt/site"}]
    return manifests.deployment(scene.container(**probes), name=name)


@pytest.mark.timeout(STOPPED + 300)
def test_stopped_process_keeps_pod(scene: Scene) -> None:
    """However its health is asked, the agent answers in its place; and when it goes on, it serves."""
    scene.deploy(*(workload(scene, name, probe) for name, probe in PROBES.items()))
    scene.tools()
    servers = {name: scene.server("grpc") if name == "grpc" else scene.local() for name in PROBES}

    def pod(name: str) -> Object:
        (found,) = scene.kubectl.pods(f"app={name}")
        return found

    with scene.unchanged():
        held = [scene.intercept(f"deploy/{name}", "--port", f"{server.port}:8080") for name, server in servers.items()]
        for intercept in held:
            intercept.wait_for("ready")
        before = {name: pod(name) for name in PROBES}
        for server in servers.values():
            server.send(signal.SIGSTOP)
        time.sleep(STOPPED)
        for name, was in before.items():
            same = pod(name)
            assert same["metadata"]["uid"] == was["metadata"]["uid"]
            (status,) = same["status"]["containerStatuses"]
            assert (status["ready"], status["restartCount"]) == (True, 0), name
        for server in servers.values():
            server.send(signal.SIGCONT)
        for name, was in before.items():
            if name != "grpc":
                scene.expect(f"http://{was['status']['podIP']}:8080/", "200 LOCAL")
        for intercept in held:
            intercept.send(signal.SIGINT)
        for intercept in held:
            assert intercept.wait(120) == 130, intercept.transcript()


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
