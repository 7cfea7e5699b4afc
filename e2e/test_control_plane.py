"""The cluster's own parts stop for a while: the session resumes, nobody took it for dead, and its end is in order."""

import time

import pytest

from e2e import manifests
from e2e.load import Load
from e2e.scene import Scene


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("part", "seconds"), [("etcd", 5), ("kube-apiserver", 20)])
def test_stopped_part_is_waited_for(scene: Scene, part: str, seconds: int) -> None:
    """Longer than a Lease lasts: but while no agent can read it, its silence counts for nothing."""
    if not scene.cluster.beside:
        pytest.skip("this cluster's control plane is not ours to stop")
    scene.echo()
    load = scene.load(rate=5)
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        load.wait_steady("LOCAL")
        (pod,) = scene.kubectl.pods()
        stopped = time.time()
        scene.cluster.restart(part, seconds)
        back = time.time()
        # The log came through the API server: it is read anew, from its beginning.
        again = scene.stack.enter_context(Load(scene.kubectl, scene.image, "http://echo", 5))
        first = again.wait_for("LOCAL", after=stopped + seconds, timeout=60)
        scene.measured(f"{part} away for {back - stopped:.1f} s: served again {first.end - back:+.1f} s after it")
        again.wait_steady("LOCAL")
        assert intercept.status is None, intercept.transcript()
        (same,) = scene.kubectl.pods()
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]
        stopping = time.time()
        # The cluster's controllers come back later than its API server: until then no pod is exchanged, and no Service
        # hears of a pod that is ready again. So what callers see while the swap goes back is theirs, not ours.
        assert intercept.stop(timeout=150) == 130, intercept.transcript()
        scene.measured(f"restored {time.time() - back:.1f} s after it")
        # The next test finds the cluster whole: its endpoints, proxies and DNS have heard of what is new.
        again.wait_steady("CLUSTER", timeout=90)
        scene.tools()
        scene.kubectl.apply(manifests.service("fresh"))
        scene.expect("http://fresh/", "200 CLUSTER", within=90)
        scene.kubectl("delete", "service", "fresh")
    report = again.finish()
    assert "CLUSTER" not in report.between(stopped, first.end).words(), report.told()
    # Who waited longer than `--hold` has read why. Who was in the middle of a request when the link went is reset.
    held = [one for one in report.failed if stopped + 0.5 < one.at < stopping]
    others = [one for one in held if one.status != 503 or "not connected" not in one.text]
    assert not others, others[:5]
