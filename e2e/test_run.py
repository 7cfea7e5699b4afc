"""`run` lends a workload's world to a program; of the workload nothing changes, and nothing stays."""

import json
import os
import signal
import time

import pytest

from e2e import developer, manifests
from e2e.process import local_echo
from e2e.scene import Scene
from e2e.terminal import Terminal

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
        record = json.loads(tap.wait_line(lambda line: line.source == "stdout", 90, "request").text)
        assert (record["direction"], record["path"], record["status"]) == ("outbound", "/wanted", 200)
        assert endpoints(scene) == before
        assert len(scene.kubectl.pods()) == 1
        assert scene.kubectl.json("get", "deployment/echo")["status"]["replicas"] == 1
        assert running.wait(120) == 7


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
        assert running.wait(120) == 0


def test_shell_is_a_persons(scene: Scene) -> None:
    """On a terminal: its size, jobs, Ctrl-C, limits, ids, exit status; and what the options name, here and in the pod."""
    scene.echo(env=[{"name": "COLOUR", "value": "blue"}, {"name": "PLAIN", "value": "one"}])
    program, environ = developer.typed(scene)
    environment = ("--env", "MORE=two words", "--env-exclude", "COL*", "--env", "HISTFILE=/dev/null")
    words = (
        "run", "-n", scene.namespace, "deploy/echo", "--sandbox", "namespace", "--mount", "none", "--local-net",
        *environment, "--", "bash", "--norc", "-i",
    )  # fmt: skip
    limited = ("sh", "-c", 'ulimit -n 1111 && exec "$@"', "sh")
    environ |= {"TERM": "xterm-256color"}
    with (
        scene.unchanged(),
        local_echo() as local,
        Terminal([*limited, *program, *words], environ, columns=97, rows=31) as terminal,
    ):
        # What the shell writes is told from what was typed by the quotes in that.
        terminal.press('stty size; echo "$TERM,$PLAIN,$MORE,$COLOUR,$(id -u),$(hostname),$(ulimit -n)" se""en\r')
        shown = terminal.see(" seen\r\n", 90)
        assert "31 97" in shown
        pod = next(
            one["metadata"]["name"] for one in scene.kubectl.items("pods") if "interceptor" in one["metadata"]["name"]
        )
        user = developer.NOBODY if os.geteuid() == 0 else os.geteuid()
        assert f"xterm-256color,one,two words,,{user},{pod},1111 seen" in shown
        terminal.press('ls /var/run/secrets/kubernetes.io || echo no""ne\r')
        terminal.see("none")
        asking = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; grep -m1 -o 'LO[C]AL' <&3"
        terminal.press(f"exec 3<>/dev/tcp/localhost/{local.port}; {asking}\r")
        terminal.see("LOCAL")
        terminal.resize(60, 20)
        terminal.press("stty size\r")
        terminal.see("20 60")
        terminal.press('sh -c "echo in""side; exec sleep 1000"\r')
        terminal.see("inside")
        terminal.press("\x1a")
        terminal.see("Stopped")
        terminal.press('bg; kill %1; wait; echo status=$?; sh -c "echo in""side; exec sleep 1000"\r')
        terminal.see("inside")
        terminal.press("\x03")
        terminal.press("echo status=$?\r")
        terminal.see("status=130")
        terminal.press("exit 5\r")
        assert terminal.wait(120) == 5
