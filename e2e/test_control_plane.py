"""The cluster's own parts stop for a while: the session resumes, nobody took it for dead, and its end is in order."""

import time

import pytest

from e2e import manifests
from e2e.load import Load
from e2e.scene import Scene

RATE = 10
NEAR = 5.0  # seconds between two that failed for the same reason: a name that isn't found takes so long


@pytest.mark.timeout(700)
@pytest.mark.parametrize(("part", "seconds"), [("etcd", 5), ("kube-apiserver", 20)])
def test_stopped_part_is_waited_for(scene: Scene, part: str, seconds: int) -> None:
    """Longer than a Lease lasts: but while no agent can read it, its silence counts for nothing."""
    if not scene.cluster.beside:
        pytest.skip("this cluster's control plane is not ours to stop")
    scene.echo()
    load = scene.load(rate=RATE)
    # Nobody intercepts this one: what its callers miss is the cluster's doing.
    scene.deploy(manifests.deployment(scene.container(), name="plain"), manifests.service("plain", app="plain"))
    scene.load("http://plain", RATE, "plain-load").wait_for("CLUSTER")
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        load.wait_steady("LOCAL")
        (pod,) = scene.kubectl.pods()
        stopped = time.time()
        scene.cluster.restart(part, seconds)
        back = time.time()
        # The log came through the API server: it is read anew, from its beginning.
        again = scene.stack.enter_context(Load(scene.kubectl, scene.image, "http://echo", RATE))
        first = again.wait_for("LOCAL", after=stopped + seconds)
        scene.measured(f"{part} away for {back - stopped:.1f} s: served again {first.end - back:+.1f} s after it")
        again.wait_steady("LOCAL")
        assert intercept.status is None, intercept.transcript()
        (same,) = scene.kubectl.pods()
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]
        # The cluster's controllers come back later than its API server, each with a back-off of its own. Our end is
        # judged once they are whole: what is new becomes a pod with an endpoint, a proxy's rule and a name.
        scene.deploy(
            manifests.deployment(scene.container(), name="fresh"), manifests.service("fresh", app="fresh"), wait=False
        )
        scene.kubectl.rolled_out("deployment/fresh", timeout=180)
        scene.tools()
        scene.expect("http://fresh/", "200 CLUSTER", within=180)
        scene.kubectl("delete", "deployment/fresh", "service/fresh", "--cascade=foreground", timeout=120)
        scene.measured(f"cluster whole {time.time() - back:.1f} s after it")
        stopping = time.monotonic()
        assert intercept.stop() == 130, intercept.transcript()
        scene.measured(f"restored in {time.monotonic() - stopping:.1f} s")
        again.wait_steady("CLUSTER")
    report = again.finish()
    assert "CLUSTER" not in report.between(stopped, first.end).words(), report.told()
    plain = scene.stack.enter_context(Load(scene.kubectl, scene.image, "http://plain", RATE, "plain-load")).finish()
    # Who waited longer than `--hold` has read why. Who was in the middle of a request when the link went is reset. And a
    # node that was not heard of for long is taken for dead: until it is heard again no Service leads to its pods.
    held = [one for one in report.failed if stopped + 0.5 < one.at]
    missed = [one.at for one in plain.failed]
    scene.measured(f"{len(held)} of {len(report)} failed; of a Service beside it {len(missed)}")
    others = [
        one
        for one in held
        if (one.status != 503 or "not connected" not in one.text)
        and not (one.status == 0 and any(abs(one.at - at) < NEAR for at in missed))
    ]
    assert not others, others[:5]
