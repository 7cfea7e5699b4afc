"""Agent pods end in all the ways that pods end: the next one is armed by itself, others serve meanwhile."""

import time

from e2e import manifests
from e2e.kubectl import Object
from e2e.scene import PATIENCE, Scene

HOG = """
import time
open("/proc/1/oom_score_adj", "w").write("1000")   # the kernel is to take the agent, not us
held = []
while True:
    held.append(bytearray(1 << 20))
    time.sleep(0.01)
"""


def evict(scene: Scene, pod: Object) -> None:
    """What `kubectl drain` does to each pod."""
    name = pod["metadata"]["name"]
    body = f'{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{name}"}}}}'
    path = f"/api/v1/namespaces/{scene.namespace}/pods/{name}/eviction"
    scene.kubectl("create", "--raw", path, "-f", "-", stdin=body)


def test_evicted_pod_is_replaced(scene: Scene) -> None:
    """With a second one no request is lost."""
    load = scene.echo_under_load(replicas=2, rate=20)
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        load.wait_steady("LOCAL")
        held = time.time()
        evict(scene, scene.kubectl.pods()[0])
        again = intercept.wait_for("ready", 60, after=held)
        scene.measured(f"evicted pod replaced and served in {again.at - held:.1f} s")
        load.run_for(1)
        until = time.time()
        intercept.stop()
    report = load.finish()
    assert report.between(held, until).words() == {"LOCAL"}, report.told()
    assert not report.failed, report.failed[:3]


def test_drained_node_is_waited_for(scene: Scene) -> None:
    """No node for the pods for a while: said meanwhile, served again as soon as one may be made."""
    load = scene.echo_under_load()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        load.wait_steady("LOCAL")
        (pod,) = scene.kubectl.pods()
        nodes = [node["metadata"]["name"] for node in scene.kubectl.items("nodes")]
        scene.kubectl("cordon", *nodes)
        try:
            evict(scene, pod)
            scene.kubectl("wait", "--for=delete", f"pod/{pod['metadata']['name']}", "--timeout=90s")
            deadline = time.monotonic() + PATIENCE
            while not (waiting := scene.kubectl.pods()):  # its controller learns of the end
                assert time.monotonic() < deadline, "no pod in its place"
            assert [one["status"]["phase"] for one in waiting] == ["Pending"]
            load.run_for(3)
            assert intercept.status is None, intercept.transcript()
        finally:
            scene.kubectl("uncordon", *nodes)
        back = time.time()
        load.wait_for("LOCAL", after=back, timeout=90)
        again = intercept.wait_for("ready", 90, after=back)
        scene.measured(f"served {again.at - back:.1f} s after the node was back")
        assert intercept.stop() == 130, intercept.transcript()
    assert "CLUSTER" not in load.finish().between(back - 3, again.at).words()


def test_killed_agent_restarts(scene: Scene) -> None:
    """Out of memory: the kubelet starts the container again, and the client finds the new agent in it."""
    # "Guaranteed": its processes begin with a low score, so that the agent's raised one is the highest.
    limited = scene.container(resources={"limits": {"cpu": "500m", "memory": "96Mi"}})
    scene.deploy(manifests.deployment(limited), manifests.service())
    load = scene.load()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        load.wait_steady("LOCAL")
        (pod,) = scene.kubectl.pods()
        killed = time.time()
        scene.kubectl("exec", pod["metadata"]["name"], "--", "python3", "-c", HOG, check=False)
        again = intercept.wait_for("ready", 60, after=killed)
        load.wait_for("LOCAL", after=again.at)
        scene.measured(f"served again {again.at - killed:.1f} s after memory ran out")
        reason = (
            "jsonpath={.status.containerStatuses[0].lastState.terminated.reason}=OOMKilled"  # the kubelet tells late
        )
        scene.kubectl("wait", f"pod/{pod['metadata']['name']}", f"--for={reason}", "--timeout=90s")
        (same,) = scene.kubectl.pods()
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]
        assert intercept.stop() == 130, intercept.transcript()
    load.wait_for("CLUSTER")
