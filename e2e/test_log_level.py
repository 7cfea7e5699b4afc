"""Proxies' log levels on a real cluster: Linkerd's as a program that answers as a real one does, Envoy itself."""

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e import manifests
from e2e.cluster import Unavailable
from e2e.intercept import Intercept
from e2e.process import Line
from e2e.scene import Scene

Object = dict[str, Any]

GIVEN = "warn,linkerd=info,hickory=error,[{headers}]=off,[{request}]=off"
FIRST = (
    "_access_log=off,hickory=error,linkerd=info,warn,[{headers}]=off,[{request}]=off,[{headers}]=off,[{request}]=off"
)
WITHIN = 90.0


def meshed(scene: Scene, replicas: int) -> Object:
    """A workload whose pods have the proxy as a native sidecar."""
    proxy = {
        "name": "linkerd-proxy", "image": scene.image, "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always",
        "command": ["python3", "-m", "e2e.programs.linkerd_proxy"],
        "env": [{"name": "LINKERD2_PROXY_LOG", "value": GIVEN}],
        "ports": [{"containerPort": 4191, "name": "linkerd-admin"}],
        "startupProbe": {"httpGet": {"path": "/ready", "port": 4191}, "periodSeconds": 1, "failureThreshold": 60},
    }  # fmt: skip
    app = {
        "name": "app", "image": scene.image, "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "e2e.programs.echo"],
    }  # fmt: skip
    pod = {"initContainers": [proxy], "terminationGracePeriodSeconds": 0}
    return manifests.deployment(app, name="orders", replicas=replicas, pod=pod)


def envoy(scene: Scene) -> Object:
    """A gateway of one Envoy, whose admin port is on the pod's loopback only, as Istio's is."""
    config = {"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}}}
    container = {
        "name": "envoy", "image": scene.cluster.envoy(), "imagePullPolicy": "IfNotPresent",
        "command": ["envoy", "--config-yaml", json.dumps(config), "--concurrency", "1", "--disable-hot-restart",
                    "-l", "warning", "--component-log-level", "upstream:info"],
    }  # fmt: skip
    return manifests.deployment(container, name="gateway", pod={"terminationGracePeriodSeconds": 0})


def levels(scene: Scene, target: str, *more: str) -> dict[str, str]:
    """What a look says of each pod."""
    look = scene.run("log-level", target, "-n", scene.namespace, "-o", "json", *more)
    assert look.wait(120) == 0, look.transcript()
    (told,) = [json.loads(line) for line in look.text("stdout").splitlines() if '"levels"' in line]
    return {pod["pod"]: pod["level"] for pod in told["pods"]}


def events(run: Intercept, name: str) -> list[Object]:
    return [dict(event.fields) for event in run.events if event.name == name]


def until(true: Callable[[], bool], run: Intercept, what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < deadline, f"not {what}\n{run.transcript()[-3000:]}"
        time.sleep(0.2)


def writes(pod: str) -> Callable[[Line], bool]:
    def wanted(line: Line) -> bool:
        return '"event": "log"' in line.text and pod in line.text and "DEBUG" in line.text

    return wanted


def test_linkerd_levels(scene: Scene) -> None:
    scene.kubectl.apply(meshed(scene, 2))
    scene.kubectl.rolled_out("deploy/orders", timeout=90)
    before = levels(scene, "deploy/orders")
    assert list(before.values()) == [FIRST, FIRST]

    # Two pods, and one that appears; a pod that goes is dropped; at Ctrl-C everything is as it was, to the letter.
    run = scene.run("log-level", "deploy/orders", "warn,linkerd=debug", "--follow", "-n", scene.namespace, "-o", "json")
    for pod in before:
        run.wait_line(writes(pod), WITHIN, f"log of {pod}")
    scene.kubectl("scale", "deploy/orders", "--replicas=3")
    until(lambda: len(events(run, "set")) == 2, run, "set on the third")
    third = events(run, "set")[1]["pods"][0]["pod"]
    run.wait_line(writes(third), WITHIN, f"log of {third}")
    gone = next(iter(before))
    scene.kubectl("delete", "pod", gone, "--wait=false")
    run.wait_line(lambda line: f"pod {gone} is gone" in line.text, WITHIN, "word of the pod that went")
    until(
        lambda: len({pod["pod"] for event in events(run, "set") for pod in event["pods"]}) == 4, run, "four pods seen"
    )
    assert run.stop() == 130
    assert "SECRET" not in run.text("stdout")
    assert {(event["outcome"], event["exact"]) for event in events(run, "back")} == {("back", True)}
    after = levels(scene, "deploy/orders")
    assert set(after.values()) == {FIRST}
    assert len(after) == 3
    assert gone not in after

    # A client that is killed: its guard puts the level back, and is gone itself then.
    killed = scene.run("log-level", "deploy/orders", "trace", "--for", "10m", "-n", scene.namespace, "-o", "json")
    until(lambda: bool(events(killed, "set")), killed, "set")
    killed.send(signal.SIGKILL)
    killed.wait(120)
    scene.expect_nothing_here()  # its guard has ended: it had no more to do
    assert set(levels(scene, "deploy/orders").values()) == {FIRST}

    # For a while, then back by itself; one pod only.
    one = next(iter(after))
    run = scene.run("log-level", "deploy/orders", "debug", "--for", "1s", "--pod", one, "-n", scene.namespace)
    assert run.wait(120) == 0, run.transcript()
    assert f"the log level of pod {one} is as it was" in run.text("stderr")
    scene.expect_nothing_here()


def test_envoy_levels(scene: Scene) -> None:
    try:
        gateway = envoy(scene)
    except Unavailable as reason:
        pytest.skip(str(reason))
    scene.kubectl.apply(gateway)
    scene.kubectl.rolled_out("deploy/gateway", timeout=120)
    (before,) = levels(scene, "gateway").values()
    assert before == "warning,upstream=info"

    run = scene.run("log-level", "gateway", "info,http=trace,admin=debug", "-f", "-n", scene.namespace, "-o", "json")
    until(lambda: bool(events(run, "set")), run, "set")
    (pod,) = events(run, "set")[0]["pods"]
    assert pod["level"] == "info,admin=debug,http=trace"
    assert "headers" in pod["warning"]
    assert levels(scene, "gateway")[pod["pod"]] == pod["level"]
    # That look passes its HTTP parser, which says so now.
    run.wait_line(lambda line: "[trace][http]" in line.text, WITHIN, "log of the look")
    assert run.stop() == 130
    assert levels(scene, "gateway")[pod["pod"]] == before

    unknown = scene.run("log-level", "gateway", "htpp=debug", "-n", scene.namespace)
    assert unknown.wait(120) == 2
    assert "has no logger 'htpp'; did you mean http?" in unknown.text("stderr")

    # Without a mesh, and without the rights.
    scene.echo()
    plain = scene.run("log-level", "deploy/echo", "-n", scene.namespace)
    assert plain.wait(120) == 1
    assert "deploy/echo has no mesh proxy" in plain.text("stderr")
    viewer = scene.run("log-level", "deploy/gateway", "debug", "-f", "-n", scene.namespace, "--as", "viewer")
    assert viewer.wait(120) == 1
    assert viewer.text("stderr").count("\n") == 0
    assert levels(scene, "gateway")[pod["pod"]] == before
