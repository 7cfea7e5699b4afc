"""Scenario 22: pods come and go while their workload is intercepted; each new one is served here too."""

import json
import time

from e2e.scene import Scene


def test_deleted_pod_is_replaced(scene: Scene) -> None:
    scene.echo(replicas=2)
    scene.tools()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        old = {pod["metadata"]["name"] for pod in scene.kubectl.pods()}
        scene.kubectl("delete", "pod", "-l", "app=echo", "--wait=false")
        scene.kubectl.rolled_out("deployment/echo")
        pods = scene.kubectl.pods()
        assert not old & {pod["metadata"]["name"] for pod in pods}
        for pod in pods:
            assert scene.get(f"http://{pod['status']['podIP']}:8080/") == "200 LOCAL"
        assert intercept.stop() == 130


def test_scaled_meanwhile(scene: Scene) -> None:
    """1, 3, 0, 2: told each time, every pod serves here, at none it waits; the number stays theirs."""
    load = scene.echo_under_load()
    local = scene.local()
    before = scene.fingerprint()
    intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
    steady = load.wait_steady("LOCAL").at

    def scale(replicas: int, event: str) -> float:
        asked = time.time()
        scene.kubectl("scale", "deployment/echo", f"--replicas={replicas}")
        told = intercept.wait_for(event, 60, after=asked)
        scene.measured(f"told after {told.at - asked:.1f} s: {told['text']}")
        assert "scaled" in told["text"]
        return asked

    scale(3, "note")
    scene.kubectl.rolled_out("deployment/echo")
    load.run_for(2)
    full = time.time()
    none = scale(0, "waiting")
    asked = scale(2, "note")
    again = intercept.wait_for("ready", 60, after=asked)
    load.wait_for("LOCAL", after=again.at)
    scene.measured(f"local again {again.at - asked:.1f} s after pods were wanted")
    scene.kubectl.rolled_out("deployment/echo")
    load.run_for(1)
    held = time.time()
    assert intercept.stop() == 130, intercept.transcript()
    report = load.finish()
    assert report.between(steady, full).words() == {"LOCAL"}, report.told()
    assert "CLUSTER" not in report.between(none, held).words(), report.told()
    deployment = json.loads(before["Deployment/echo"])
    deployment["spec"]["replicas"] = 2
    scene.expect_same(before | {"Deployment/echo": json.dumps(deployment, sort_keys=True, indent=1)})


def test_edit_meanwhile_is_kept(scene: Scene) -> None:
    """A change of other fields while intercepted stays when the intercept ends."""
    scene.echo()
    local = scene.local()
    intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
    scene.kubectl("annotate", "deployment/echo", "owner=ana")
    scene.kubectl.patch("deployment/echo", {"spec": {"template": {"metadata": {"labels": {"tier": "web"}}}}})
    scene.kubectl.rolled_out("deployment/echo")
    assert intercept.stop() == 130, intercept.transcript()
    found = scene.kubectl.json("get", "deployment/echo")
    assert found["metadata"]["annotations"]["owner"] == "ana"
    assert found["spec"]["template"]["metadata"]["labels"]["tier"] == "web"
    (app,) = found["spec"]["template"]["spec"]["containers"]
    assert app["command"] == scene.container()["command"]
    assert not [key for key in found["metadata"]["annotations"] if key.startswith("interceptor")]
