"""Every moment of the start can be the last: Ctrl-C undoes it at once. (SIGKILL: `test_killed_anywhere`.)"""

import signal
import time

import pytest

from e2e.scene import Scene

MOMENTS = ("planned", "swapped", "connected")


@pytest.mark.timeout(400)
def test_interrupted_after_each_step(scene: Scene) -> None:
    load = scene.echo_under_load(replicas=2)
    load.wait_for("CLUSTER")
    local = scene.local()
    with scene.unchanged():
        for event in MOMENTS:
            intercept = scene.intercept("deploy/echo", "--port", f"{local.port}:8080")
            intercept.wait_for(event)
            assert intercept.stop() == 130, intercept.transcript()
    scene.kubectl.rolled_out("deployment/echo")
    report = load.finish()
    assert not report.failed, report.failed[:3]
    assert report[-1].word == "CLUSTER"


def test_interrupted_at_any_time(scene: Scene) -> None:
    """Ctrl-C at a growing delay from the first moment on: exits by the signal, leaves nothing, each time."""
    scene.echo()
    local = scene.local()
    before = scene.fingerprint()
    for number in range(8):
        delay = 0.15 + number * 0.3
        intercept = scene.intercept("deploy/echo", "--port", f"{local.port}:8080")
        time.sleep(delay)
        assert intercept.stop() in (130, -signal.SIGINT), f"after {delay:.2f} s\n{intercept.transcript()}"
        scene.expect_same(before)
    scene.expect_nothing_here()


def test_ended_by_other_signals(scene: Scene) -> None:
    """Terminated, or its terminal closed: the same undo, and the status that any program has then."""
    scene.echo()
    local = scene.local()
    with scene.unchanged():
        for number, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
            assert intercept.stop(number) == status, intercept.transcript()
