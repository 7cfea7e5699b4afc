"""What else has a say in a workload: told before anything changes, followed while it is held, and left as it is."""

import json
import time

import pytest

from e2e import manifests
from e2e.kubectl import Object
from e2e.scene import Scene

ARGO = {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/echo"}
AIM = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "echo"}
RESTARTED = "kubectl.kubernetes.io/restartedAt"
HPA_SYNC = 15.0  # seconds; how often a cluster's controller looks, unless told otherwise


def surroundings() -> tuple[Object, ...]:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    return (
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "elastic"},
            "spec": {"scaleTargetRef": AIM, "minReplicas": 1, "maxReplicas": 3, "metrics": [metric]},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "always"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "echo"}}},
        },
    )


@pytest.mark.timeout(400)
def test_everybody_with_a_say_is_told(scene: Scene) -> None:
    """A single replica with `Recreate`, a budget, Argo CD, a rollout under way; an autoscaler, which then scales."""
    slow = {**manifests.READY, "initialDelaySeconds": 5}
    body = manifests.deployment(scene.container(readinessProbe=slow), strategy={"type": "Recreate"})
    body["metadata"]["annotations"] = ARGO
    scene.deploy(body, manifests.service(), *surroundings())
    scene.tools()
    local = scene.local()
    before = scene.fingerprint()
    scene.kubectl("rollout", "restart", "deployment/echo")
    held = scene.started("deploy/echo", "--port", f"{local.port}:8080", within=120)
    notes = [event["text"] for event in held.events if event.name == "note"]
    for words in (
        "strategy Recreate: no pod answers at the start",
        "a disruption budget (always) doesn't hold for rollouts",
        "a rollout of deploy/echo is under way; waiting for its end",
        "autoscaler elastic (1 to 3 pods)",
        "argocd app set shop --self-heal=false",
    ):
        assert [note for note in notes if words in note], (words, notes)
    scene.expect("http://echo/", "200 LOCAL")
    asked = time.time()
    scene.kubectl.patch("hpa/elastic", {"spec": {"minReplicas": 2}})
    told = held.wait_line(lambda line: "is scaled to 2" in line.text and line.at > asked, 8 * HPA_SYNC, "scaled")
    scene.measured(f"told {told.at - asked:.1f} s after the autoscaler was given another limit: {told.text}")
    again = held.wait_for("ready", after=told.at)
    assert len(again["pods"]) == 2, held.transcript()
    scene.kubectl.rolled_out("deployment/echo")  # an agent may be reached before the kubelet has told its pod's address
    for pod in scene.kubectl.pods():
        scene.expect(f"http://{pod['status']['podIP']}:8080/", "200 LOCAL")
    assert held.stop(timeout=120) == 130, held.transcript()

    deployment, autoscaler = (
        json.loads(before[name]) for name in ("Deployment/echo", "HorizontalPodAutoscaler/elastic")
    )
    deployment["spec"]["replicas"] = autoscaler["spec"]["minReplicas"] = 2
    now = scene.kubectl.json("get", "deployment/echo")["spec"]["template"]["metadata"]["annotations"]
    deployment["spec"]["template"]["metadata"]["annotations"][RESTARTED] = now[RESTARTED]
    theirs = {
        "Deployment/echo": json.dumps(deployment, sort_keys=True, indent=1),
        "HorizontalPodAutoscaler/elastic": json.dumps(autoscaler, sort_keys=True, indent=1),
    }
    scene.expect_same(before | theirs, history=False)  # their restart made a ReplicaSet
    scene.expect("http://echo/", "200 CLUSTER")
