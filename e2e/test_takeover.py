"""`intercept --take-over`: one developer ends another's session; callers notice nothing, and nothing is left of it."""

import signal
import time

from e2e.scene import Scene


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
    assert refused.wait(30) == 1, refused.transcript()
    failed = refused.wait_for("failed")
    assert "is already intercepted by" in failed["text"]
    assert "twice" in failed["hint"]
    second = scene.started(*words, "--take-over")
    load.wait_steady("SECOND")
    assert first.wait(30) == 1, first.transcript()
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
    assert loser.wait(5) == 1, loser.transcript()
    (winner,) = (one for one in takers if one is not loser)
    winner.wait_for("ready", 60)
    first.send(signal.SIGCONT)
    assert first.wait(40) == 1, first.transcript()
    assert "took deploy/echo over" in first.wait_for("failed")["text"]
    assert winner.status is None, winner.transcript()
    assert winner.stop() == 130, winner.transcript()
    scene.expect_same(before)
    scene.expect_nothing_here()
