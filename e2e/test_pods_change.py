"""Scenario 22: pods come and go while their workload is intercepted; each new one is served here too."""

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


def test_scaled_up_pods_join(scene: Scene) -> None:
    scene.echo()
    load = scene.load(rate=20)
    local = scene.local()
    intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
    steady = load.wait_steady("LOCAL").at
    scene.kubectl("scale", "deployment/echo", "--replicas=3")
    scene.kubectl.rolled_out("deployment/echo")
    load.run_for(2)
    held = time.time()
    intercept.stop()
    report = load.finish()
    assert report.between(steady, held).words() == {"LOCAL"}, report.told()
    assert not report.failed, report.failed[:3]
    assert scene.kubectl.json("get", "deployment/echo")["spec"]["replicas"] == 3  # somebody else's change is kept


def test_scaled_to_nothing_waits(scene: Scene) -> None:
    """0 -> 1 -> 2: waiting is told meanwhile, then requests are served here again."""
    scene.echo(replicas=2)
    load = scene.load(rate=5)
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        load.wait_steady("LOCAL")
        asked = time.time()
        scene.kubectl("scale", "deployment/echo", "--replicas=0")
        waiting = intercept.wait_for("waiting", 30, after=asked)
        scene.kubectl("scale", "deployment/echo", "--replicas=1")
        again = intercept.wait_for("ready", 60, after=waiting.at)
        load.wait_for("LOCAL", after=again.at)
        scene.kubectl("scale", "deployment/echo", "--replicas=2")
        scene.kubectl.rolled_out("deployment/echo")
        assert intercept.stop() == 130
    answers = load.finish()
    assert "CLUSTER" not in answers.between(waiting.at, again.at).words()


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
