"""The harness proves itself: load, programs, link and fingerprint work with no intercept at all."""

import sys

import pytest

from e2e import manifests
from e2e.fingerprint import difference
from e2e.kubectl import Kubectl
from e2e.process import Process
from e2e.scene import Scene


def test_plain_rollout_loses_nothing(scene: Scene) -> None:
    load = scene.echo_under_load(replicas=2, rate=50)
    load.wait_for("CLUSTER")
    scene.kubectl("rollout", "restart", "deployment/echo")
    scene.kubectl.rolled_out("deployment/echo")
    load.run_for(3)
    report = load.finish()
    assert not report.failed, report.told()
    assert report.words() == {"CLUSTER"}


def test_every_program_answers(scene: Scene) -> None:
    scene.echo()
    scene.tools()
    scene.expect("http://echo/x", "200 CLUSTER")
    assert scene.ask("client", "burst", "http://echo", 100, 20)["seen"] == {"200 CLUSTER": 100}
    assert scene.ask("client", "put", "http://echo", 1 << 20, 3)["equal"] == 3
    assert scene.ask("client", "upload", "http://echo", 3_000_000)["equal"]
    assert scene.ask("client", "download", "http://echo", 3_000_000)["equal"]
    assert scene.ask("client", "latency", "http://echo", 1)["requests"] >= 3


@pytest.mark.parametrize("kind", ["websocket", "grpc", "lines"])
def test_stream_programs_agree(scene: Scene, kind: str) -> None:
    server = scene.server(kind)
    address = f"127.0.0.1:{server.port}"
    ask = {
        "websocket": ("streams", "websocket", f"http://{address}", "100", "0.1"),
        "grpc": ("streams", "grpc", address, "100", "0.1"),
        "lines": ("client", "lines", "127.0.0.1", str(server.port), "100", "0.1"),
    }[kind]
    client = scene.stack.enter_context(Process([sys.executable, "-m", f"e2e.programs.{ask[0]}", *ask[1:]]))
    assert client.wait(120) == 0, client.transcript()
    wanted = {"websocket": '"in_order": 100', "grpc": '"both": true', "lines": '"last": "LOCAL saw 100"'}[kind]
    assert wanted in client.text("stdout")


def test_fingerprint_sees_changes(scene: Scene) -> None:
    scene.echo()
    before = scene.fingerprint()
    assert not difference(before, scene.fingerprint())
    scene.kubectl("annotate", "deployment/echo", "extra=1")
    scene.kubectl("create", "configmap", "left")
    told = difference(before, scene.fingerprint())
    assert "new: ConfigMap/left" in told
    assert '"extra": "1"' in told


def test_link_goes_silent(scene: Scene) -> None:
    link = scene.link()
    through = Kubectl(link.kubeconfig, scene.namespace)
    assert through("get", "--raw", "/readyz") == "ok"
    link.cut()
    watch = scene.stack.enter_context(Process([*through.argv, "get", "--raw", "/readyz"]))
    with pytest.raises(AssertionError, match="still running"):
        watch.wait(2)
    link.mend()
    assert watch.wait(120) == 0
    assert watch.text("stdout") == "ok"


def test_other_image_without_python(scene: Scene) -> None:
    scene.deploy(
        manifests.deployment(manifests.container(scene.cluster.bare(), command=["/be", "8080", "0.0.0.0"])),
        manifests.service(),
    )
    scene.tools()
    scene.expect("http://echo/x", "200 hello,")
