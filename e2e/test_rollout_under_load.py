"""The promise of no failed request: starting, holding and ending an intercept under load, with two replicas."""

import time

import pytest

from e2e.scene import LONG, Scene


@pytest.mark.parametrize("mode", ["own", "named"])
def test_no_request_fails(scene: Scene, mode: str) -> None:
    image = scene.cluster.python_image if mode == "named" else "own"
    load = scene.echo_under_load(replicas=2, rate=50)
    load.wait_for("CLUSTER")
    with scene.unchanged():
        local = scene.local()
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", "--agent-image", image)
        ready = intercept.wait_for("ready").at
        steady = load.wait_steady("LOCAL").at
        load.run_for(30 if LONG else 3)
        stopped = time.time()
        assert intercept.stop() == 130, intercept.transcript()
        ended = intercept.wait_for("restored").at
        load.run_for(2)
    report = load.finish()
    assert not report.failed, report.failed[:5]
    words = [word for word, _ in report.sequence()]
    assert words[0] == words[-1] == "CLUSTER", report.told()
    assert report.between(steady, stopped).words() == {"LOCAL"}, report.told()
    assert report[-1].at > ended
    scene.measured(
        f"{len(report)} requests; longest {max(a.ms for a in report):.0f} ms; ready {ready - intercept.started:.1f} s, "
        f"only LOCAL {steady - ready:+.2f} s from then"
    )
