"""Every moment of the start can be the last: Ctrl-C undoes it at once. (SIGKILL: `test_killed_anywhere`.)"""

import signal
import time

import pytest

from e2e.scene import Scene

MOMENTS = ("planned", "swapped", "connected")


@pytest.mark.parametrize("event", MOMENTS)
def test_interrupted_after(scene: Scene, event: str) -> None:
    scene.echo(replicas=2)
    load = scene.load(rate=20)
    load.wait_for("CLUSTER")
    local = scene.local()
    with scene.unchanged():
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


def test_terminated_while_held(scene: Scene) -> None:
    scene.echo()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        assert intercept.stop(signal.SIGTERM) == 143, intercept.transcript()


def test_hung_up_terminal(scene: Scene) -> None:
    """The terminal is closed: the same undo, and 129 as any program says it."""
    scene.echo()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        assert intercept.stop(signal.SIGHUP) == 129, intercept.transcript()
