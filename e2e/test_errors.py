"""What can be wrong before anything changes: one line that says what, why, and what to type next."""

import json
import socket
import time

from e2e import manifests
from e2e.kubectl import Object
from e2e.scene import Scene


def refused(scene: Scene, *arguments: str, env: dict[str, str] | None = None, status: int = 1) -> str:
    """Run it in words; it must fail with `status` and say so in exactly one line that starts with `error:`."""
    run = scene.run("intercept", "-n", scene.namespace, *arguments, env=env)
    assert run.wait(60) == status, run.transcript()  # a person waits no longer
    errors = [line for line in run.text("stderr").splitlines() if line.startswith("error:")]
    assert len(errors) == 1, run.transcript()
    assert "Traceback" not in run.transcript()
    assert ";" in errors[0] or "?" in errors[0], f"names no next step: {errors[0]}"
    print(errors[0])
    return errors[0]


def test_misspelt_or_expired(scene: Scene) -> None:
    scene.echo()
    with scene.unchanged():
        assert "did you mean echo?" in refused(scene, "deploy/ehco")
        refused(scene, "svc/nothing-like-it")
        told = refused(scene, "deploy/echo", "--port", "9999")
        assert "9999" in told
        assert "8080" in told
        assert "grpc" in refused(scene, "deploy/echo", "--port", "grpc")
        refused(scene, "deploy/echo", env=changed(scene, "expired", "user", token="no-longer-good"))


def test_several_containers(scene: Scene) -> None:
    app = scene.container()
    beside = {**scene.container({"containerPort": 9090}), "name": "beside", "readinessProbe": None}
    scene.deploy(manifests.deployment(app, beside), manifests.service())
    scene.tools()
    local = scene.local()
    with scene.unchanged():
        told = refused(scene, "deploy/echo", status=2)
        assert "-c app" in told
        assert "-c beside" in told
        intercept = scene.started("deploy/echo", "-c", "app", "--port", f"{local.port}:8080")
        scene.expect("http://echo/", "200 LOCAL")
        intercept.stop()


def test_no_kubeconfig(scene: Scene) -> None:
    missing = str(scene.folder / "nowhere")
    assert "nowhere" in refused(scene, "deploy/echo", env=scene.environment(KUBECONFIG=missing))
    env = scene.environment()
    del env["KUBECONFIG"]
    refused(scene, "deploy/echo", env=env)


def changed(scene: Scene, name: str, part: str, **fields: object) -> dict[str, str]:
    """The environment with a kubeconfig whose only user or cluster says something else."""
    config: Object = scene.kubectl.json("config", "view", "--raw", "--flatten", "--minify")
    if part == "user":
        config["users"][0]["user"] = fields
    else:
        config["clusters"][0]["cluster"] |= fields
    path = scene.folder / name
    path.write_text(json.dumps(config))
    return scene.environment(KUBECONFIG=str(path))


def test_unreachable_server(scene: Scene) -> None:
    with socket.socket() as held:  # bound, but it does not listen
        held.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{held.getsockname()[1]}"
        assert server.removeprefix("https://") in refused(
            scene, "deploy/echo", env=changed(scene, "unreachable", "cluster", server=server)
        )


def test_silent_server(scene: Scene) -> None:
    """A server that accepts and never answers is given up, in a time a person waits."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        server = f"https://127.0.0.1:{held.getsockname()[1]}"
        refused(scene, "deploy/echo", env=changed(scene, "silent", "cluster", server=server))


def test_already_intercepted(scene: Scene) -> None:
    load = scene.echo_under_load()
    local = scene.local()
    with scene.unchanged():
        first = scene.started("deploy/echo", "--port", f"{local.port}:8080", env=scene.environment(USER="ana"))
        load.wait_steady("LOCAL")
        held = time.time()
        told = refused(scene, "deploy/echo", "--port", "8080")
        assert "ana@" in told
        load.run_for(1)
        stopped = time.time()
        first.stop()
    report = load.finish()
    assert not report.failed
    assert report.between(held, stopped).words() == {"LOCAL"}


def test_no_rollout_to_be_had(scene: Scene) -> None:
    """Paused, scaled to none, or given up by its deadline: not ours to finish."""
    scene.echo()
    scene.kubectl("rollout", "pause", "deployment/echo")
    with scene.unchanged():
        assert "kubectl rollout resume" in refused(scene, "deploy/echo")
    scene.kubectl("rollout", "resume", "deployment/echo")
    scene.kubectl("scale", "deployment/echo", "--replicas=0")
    scene.without_endpoints("echo")
    with scene.unchanged():
        assert "kubectl scale" in refused(scene, "deploy/echo")
    scene.kubectl("scale", "deployment/echo", "--replicas=1")
    scene.kubectl.rolled_out("deployment/echo")
    late = {
        "progressDeadlineSeconds": 2,
        "template": {"spec": {"containers": [{"name": "app", "image": "interceptor/never-built:1"}]}},
    }
    scene.kubectl("patch", "deployment/echo", "--patch", json.dumps({"spec": late}))
    scene.kubectl("wait", "--for=condition=Progressing=false", "deployment/echo", "--timeout=80s")
    with scene.unchanged():
        assert "kubectl rollout" in refused(scene, "deploy/echo")


def test_image_not_pulled_is_undone(scene: Scene) -> None:
    """The pod's own words are passed on, the swap is undone, and callers never noticed."""
    load = scene.echo_under_load(rate=20)
    load.wait_for("CLUSTER")
    with scene.unchanged():
        run = scene.run("intercept", "-n", scene.namespace, "deploy/echo", "--agent-image", "interceptor/never-built:1")
        assert run.wait(120) == 1, run.transcript()
        (error,) = [line for line in run.text("stderr").splitlines() if line.startswith("error:")]
        assert "interceptor/never-built:1" in error
    report = load.finish()
    assert report.words() == {"CLUSTER"}, report.told()


def test_container_without_python(scene: Scene) -> None:
    """Asked for the app's own image where it has no Python: said before anything changes."""
    bare = manifests.container(scene.cluster.bare(), command=["/be", "8080", "0.0.0.0"])
    scene.deploy(manifests.deployment(bare), manifests.service())
    with scene.unchanged():
        assert "--agent-image" in refused(scene, "deploy/echo", "--agent-image", "own")
