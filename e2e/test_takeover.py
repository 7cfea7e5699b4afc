"""`intercept --take-over`: one developer ends another's session; callers notice nothing, and nothing is left of it."""

import signal
import time

import pytest

from e2e.scene import Scene
from e2e.test_kinds import HTTP, bare, body_of, up
from e2e.test_status import asked


def test_living_holder_gives_way(scene: Scene) -> None:
    """Refused when asked once, done when asked twice: the other one hears who it was, and no caller hears anything."""
    scene.echo()
    before = scene.fingerprint()
    load = scene.load()
    load.wait_for("CLUSTER")
    first = scene.started("deploy/echo", "--port", f"{scene.local('FIRST').port}:8080")
    load.wait_steady("FIRST")
    words = ("deploy/echo", "--port", f"{scene.local('SECOND').port}:8080", "--take-over")
    refused = scene.intercept(*words)
    assert refused.wait(120) == 1, refused.transcript()
    failed = refused.wait_for("failed")
    assert "is already intercepted by" in failed["text"]
    assert "twice" in failed["hint"]
    second = scene.started(*words, "--take-over")
    load.wait_steady("SECOND")
    assert first.wait(120) == 1, first.transcript()
    assert "took deploy/echo over" in first.wait_for("failed")["text"]
    assert second.stop() == 130, second.transcript()
    load.wait_steady("CLUSTER")
    report = load.finish()
    assert not report.failed, report.failed[:3]
    scene.kubectl("delete", "pod", "load", "--ignore-not-found", "--wait=true")
    scene.expect_same(before)


def test_frozen_holder_is_ended_at_once(scene: Scene) -> None:
    """Two want it from a client that hangs: one gets it. The client learns of it when it wakes up, and changes nothing."""
    scene.echo()
    before = scene.fingerprint()
    first = scene.started("deploy/echo", "--port", f"{scene.local().port}:8080", "--no-guard")
    first.send(signal.SIGSTOP)
    port = scene.local("SECOND").port
    takers = [scene.intercept("deploy/echo", "--port", f"{port}:8080", "--take-over") for _ in range(2)]
    deadline = time.monotonic() + 60
    while not (over := [one for one in takers if one.status is not None]):
        assert time.monotonic() < deadline, takers[0].transcript() + takers[1].transcript()
        time.sleep(0.2)
    (loser,) = over
    assert loser.wait(120) == 1, loser.transcript()
    (winner,) = (one for one in takers if one is not loser)
    winner.wait_for("ready", 60)
    first.send(signal.SIGCONT)
    assert first.wait(120) == 1, first.transcript()
    assert "took deploy/echo over" in first.wait_for("failed")["text"]
    assert winner.status is None, winner.transcript()
    assert winner.stop() == 130, winner.transcript()
    scene.expect_same(before)
    scene.expect_nothing_here()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "Pod"])
def test_every_kind_changes_hands(scene: Scene, kind: str) -> None:
    """Seen by `list` and `status`, and taken over: a set from a living holder, a bare pod from one that hangs."""
    target = {"StatefulSet": "sts/echo", "DaemonSet": "ds/echo", "Pod": "pod/solo"}[kind]
    up(scene, bare(scene) if kind == "Pod" else body_of(kind, scene.container(HTTP), replicas=1), 1)
    scene.tools()
    with scene.unchanged():
        first = scene.started(target, "--port", f"{scene.local('FIRST').port}:http", within=120)
        code, listed = asked(scene, "list")
        (one,) = listed["intercepts"]
        seen = (code, one["workload"], one["alive"], one["state"], one["leftover"], len(one["pods"]))
        assert seen == (0, target, True, "held", None, 1), listed
        code, said = asked(scene, "status", target)
        assert (code, said["healthy"]) == (0, True), said
        if kind == "Pod":
            first.send(signal.SIGSTOP)
        began = time.monotonic()
        words = ("--take-over",) * (1 if kind == "Pod" else 2)
        second = scene.started(target, "--port", f"{scene.local('SECOND').port}:http", *words, within=120)
        scene.measured(f"{target} taken over in {time.monotonic() - began:.1f} s")
        scene.expect("http://echo/", "200 SECOND")
        first.send(signal.SIGCONT)
        assert first.wait(120) == 1, first.transcript()
        assert f"took {target} over" in first.wait_for("failed")["text"]
        assert second.stop(timeout=120) == 130, second.transcript()
        scene.expect("http://echo/", "200 CLUSTER")
