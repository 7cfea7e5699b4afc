"""`list`, `status`, `restore --all` and `--take-over` on a bare pod and an ordered set: kinds whose pods nobody exchanges."""

import json
import signal
from typing import Any

from e2e import manifests
from e2e.scene import Scene
from e2e.test_kinds import HTTP, body_of, up


def listed(scene: Scene) -> list[dict[str, Any]]:
    done = scene.run("list", "-n", scene.namespace, "-o", "json")
    assert done.wait(120) == 0, done.transcript()
    found: list[dict[str, Any]] = json.loads(done.text("stdout"))["intercepts"]
    return found


def test_all_kinds_are_restored_at_once(scene: Scene) -> None:
    """Two clients without a guard die, one that held a bare pod, one that held a set whose pods are deleted by hand."""
    container = scene.container(HTTP)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lone", "labels": {"app": "lone"}},
        "spec": {"terminationGracePeriodSeconds": 5, "containers": [container]},
    }
    spec = {"updateStrategy": {"type": "OnDelete"}}
    up(
        scene,
        body_of("StatefulSet", container, replicas=1, **spec),
        1,
        pod,
        manifests.service("lone", "http", app="lone"),
    )
    scene.kubectl.ready("pod/lone")
    before = scene.fingerprint()
    port = scene.local().port
    held = [
        scene.intercept(target, "--port", f"{port}:http", "--no-guard", "--agent-image", "own")
        for target in ("pod/lone", "sts/echo")
    ]
    for one in held:
        one.wait_for("ready", 90)
    assert {(one["workload"], one["alive"]) for one in listed(scene)} == {("pod/lone", True), ("sts/echo", True)}
    status = scene.run("status", "-n", scene.namespace)
    assert status.wait(120) == 0, status.transcript()
    for one in held:
        one.send(signal.SIGKILL)
    assert {(one["workload"], one["state"]) for one in listed(scene)} == {
        ("pod/lone", "silent"),
        ("sts/echo", "silent"),
    }
    restored = scene.run("restore", "--all", "-n", scene.namespace, "-o", "json")
    assert restored.wait(120) == 0, restored.transcript()
    assert len([event for event in restored.events if event.name == "restored"]) == 2
    assert listed(scene) == []
    scene.kubectl.ready("pod/lone")
    scene.expect_same(before, within=60)
