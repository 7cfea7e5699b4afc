"""`run` lends a workload's world to a program; of the workload nothing changes, and nothing stays."""

import json
import signal
import time

import pytest

from e2e import developer, manifests
from e2e.scene import Scene

pytestmark = pytest.mark.timeout(300)  # their own bounds come first, also on a busy machine

GONE_WITHIN = 90.0  # seconds from a killed client: half a minute of deadline, and the cluster's own controllers
ASK = """
import sys, time, urllib.request
for _ in range(40):
    print("GOT", urllib.request.urlopen("http://echo/wanted", timeout=20).read().decode()[:20], flush=True)
    time.sleep(0.2)
sys.exit(7)
"""


def endpoints(scene: Scene) -> list[str]:
    slices = scene.kubectl.items("endpointslices", "-l", "kubernetes.io/service-name=echo")
    return sorted(address for one in slices for end in one["endpoints"] or () for address in end["addresses"])


def test_workload_is_untouched(scene: Scene) -> None:
    """Its pods, its Service's addresses and its status stay while COMMAND runs; `tap` shows what COMMAND asks for."""
    scene.echo()
    with scene.unchanged():
        before = endpoints(scene)
        running = developer.run(
            scene, "run", "-n", scene.namespace, "-o", "json", "deploy/echo", "--sandbox", "namespace",
            "--", developer.python(), "-c", ASK,
        )  # fmt: skip
        running.wait_line(lambda line: line.text.startswith("GOT "), 100, "answer")
        tap = developer.run(scene, "tap", "deploy/echo", "-n", scene.namespace, "--max", "1", "-o", "json")
        record = json.loads(tap.wait_line(lambda line: line.source == "stdout", 30, "request").text)
        assert (record["direction"], record["path"], record["status"]) == ("outbound", "/wanted", 200)
        assert endpoints(scene) == before
        assert len(scene.kubectl.pods()) == 1
        assert scene.kubectl.json("get", "deployment/echo")["status"]["replicas"] == 1
        assert running.wait(60) == 7


def test_killed_client_leaves_nothing(scene: Scene) -> None:
    scene.echo()
    before = scene.fingerprint()
    running = developer.run(
        scene, "run", "-n", scene.namespace, "-o", "json", "deploy/echo", "--", developer.python(), "-c",
        "import time; print('UP', flush=True); time.sleep(120)",
    )  # fmt: skip
    running.wait_line(lambda line: line.text == "UP", 100, "start")
    running.send(signal.SIGKILL)
    killed = time.monotonic()
    scene.expect_same(before, within=GONE_WITHIN)
    scene.measured(f"gone {time.monotonic() - killed:.0f} s after kill -9")
    scene.expect_nothing_here()


def test_image_without_python_works(scene: Scene) -> None:
    """The agent then brings an image; the container's variables come along."""
    container = {
        "name": "app", "image": scene.cluster.bare(), "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "COLOUR", "value": "blue"}], "ports": [{"containerPort": 8080}],
    }  # fmt: skip
    scene.deploy(manifests.deployment(container), manifests.service())
    with scene.unchanged():
        running = developer.run(
            scene, "run", "-n", scene.namespace, "-o", "json", "deploy/echo", "--sandbox", "namespace",
            "--agent-image", scene.cluster.python_image, "--env", "MORE=one", "--env-exclude", "KUBERNETES_*",
            "--", developer.python(), "-c",
            "import os; print('ENV', os.environ['COLOUR'], os.environ['MORE'], 'KUBERNETES_PORT' in os.environ)",
        )  # fmt: skip
        running.wait_line(lambda line: line.text == "ENV blue one False", 100, "environment")
        assert running.wait(60) == 0
