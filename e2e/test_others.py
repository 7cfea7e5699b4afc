"""What somebody else does to a held workload: seen at once, told with who it was, never fought, nothing half done."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e import manifests
from e2e.fingerprint import difference
from e2e.intercept import Event, Intercept
from e2e.kubectl import Object
from e2e.scene import PATIENCE, Scene, free_port


def hold(scene: Scene, *arguments: str) -> Intercept:
    """An intercept with a COMMAND that serves."""
    port = str(free_port())
    serve = (sys.executable, "-m", "e2e.programs.echo", "--word", "LOCAL", "--host", "127.0.0.1", "--listen", port)
    return scene.started("deploy/echo", "--port", f"{port}:8080", *arguments, "--", *serve)


def ended(scene: Scene, intercept: Intercept, at: float, *said: str) -> Event:
    """It ends by itself, in order: the reason at once, COMMAND gone, status 1, one line that says what to type."""
    ending = intercept.wait_for("ending", PATIENCE)
    scene.measured(f"seen after {ending.at - at:.1f} s: {ending['text']}")
    for word in said:
        assert word in ending["text"], ending
    assert intercept.wait(120) == 1, intercept.transcript()
    (failed,) = [event for event in intercept.events if event.name == "failed"]
    assert failed["text"] == ending["text"]
    assert failed["hint"]
    scene.expect_nothing_here()
    return ending


def expect(scene: Scene, before: dict[str, str], change: Callable[[Object], None] | None, at: float) -> None:
    """All is as before but for what `change` does to the Deployment."""
    wanted = dict(before)
    if change is not None:
        deployment = json.loads(wanted["Deployment/echo"])
        change(deployment)
        wanted["Deployment/echo"] = json.dumps(deployment, sort_keys=True, indent=1)

    def left() -> str:
        found = scene.fingerprint(wait=False)
        theirs = ("ReplicaSet/", "EndpointSlice/", "Endpoints/")  # of their rollout
        return difference(wanted, {k: v for k, v in found.items() if k in wanted or not k.startswith(theirs)})

    while told := left():
        assert time.time() - at < PATIENCE, f"left behind:\n{told}"
        time.sleep(0.2)
    scene.measured(f"healed after {time.time() - at:.1f} s")


def container(deployment: Object) -> Object:
    app: Object = deployment["spec"]["template"]["spec"]["containers"][0]
    return app


def owners(scene: Scene) -> dict[str, Object]:
    """Which program owns which fields, but for the cluster's own."""
    found = scene.kubectl.json("get", "deployment/echo", "--show-managed-fields")["metadata"]["managedFields"]
    return {
        f"{entry['manager']} {entry['operation']} {entry.get('subresource')}": entry["fieldsV1"]
        for entry in found
        if entry["manager"] != "kube-controller-manager"
    }


def next_image(scene: Scene) -> str:
    """The same app as another release."""
    with tempfile.TemporaryDirectory(prefix="e2e-next-") as folder:
        (Path(folder) / "Dockerfile").write_text(f"FROM {scene.image}\nENV RELEASE=2\n")
        return scene.cluster.image("interceptor/e2e-next", Path(folder))


@pytest.mark.parametrize("agent", ["own", "other"])
def test_image_bumped(scene: Scene, agent: str) -> None:
    """Theirs wins, ours is undone; callers notice only who answers."""
    image = next_image(scene)
    load = scene.echo_under_load(rate=20)
    load.wait_for("CLUSTER")
    before = scene.fingerprint()
    intercept = hold(scene, *([] if agent == "own" else ["--agent-image", scene.cluster.python_image]))
    load.wait_steady("LOCAL")
    bumped = time.time()
    scene.kubectl("set", "image", "deployment/echo", f"app={image}")
    ended(scene, intercept, bumped, "kubectl set", "containers[app].image")
    healed = load.wait_for("CLUSTER", after=bumped).end - bumped
    scene.measured(f"the cluster answers again after {healed:.1f} s")
    expect(scene, before, lambda found: container(found).update(image=image), bumped)
    scene.kubectl.rolled_out("deployment/echo")
    (pod,) = scene.kubectl.pods()
    assert container({"spec": {"template": pod}})["image"] == image
    load.run_for(1)
    report = load.finish()
    assert not report.failed, report.failed[:3]


@pytest.mark.parametrize("how", ["client", "server"])
def test_manifest_applied_again(scene: Scene, how: str) -> None:
    """A pipeline that deploys: the same manifest, one variable more. It is as if nobody had held the workload."""
    flags = [] if how == "client" else ["--server-side", "--field-manager=pipeline", "--force-conflicts"]
    app = scene.container(env=[{"name": "WORD", "value": "CLUSTER"}])
    manifest = manifests.deployment(app)

    def apply(*more: str) -> str:
        return scene.kubectl("apply", *flags, *more, "-f", "-", stdin=json.dumps(manifest))

    apply()
    scene.kubectl.apply(manifests.service())
    scene.kubectl.rolled_out("deployment/echo")
    before, owned = scene.fingerprint(), owners(scene)
    intercept = hold(scene)
    app["env"].append({"name": "NEW", "value": "1"})
    applied = time.time()
    apply()
    ended(scene, intercept, applied, "kubectl apply" if how == "client" else "pipeline", "put back", "command")
    annotation = "kubectl.kubernetes.io/last-applied-configuration"

    def change(found: Object) -> None:
        container(found)["env"] = app["env"]
        if how == "client":
            found["metadata"]["annotations"][annotation] = scene.kubectl.json("get", "deployment/echo")["metadata"][
                "annotations"
            ][annotation]

    expect(scene, before, change, applied)
    scene.kubectl.rolled_out("deployment/echo")
    assert owners(scene).keys() == owned.keys()
    app["env"].pop()
    apply()  # and the next release changes what it will
    assert owners(scene) == owned


def test_fields_go_back_to_their_owner(scene: Scene) -> None:
    """While it is held, a server-side apply is told by name who has the fields; afterwards it is as if nobody had."""
    app = scene.container()
    manifest = manifests.deployment(app)

    def apply(check: bool = True) -> "subprocess.CompletedProcess[str]":
        argv = [*scene.kubectl.argv, "apply", "--server-side", "--field-manager=pipeline", "-f", "-"]
        return subprocess.run(argv, input=json.dumps(manifest), text=True, capture_output=True, check=check, timeout=60)

    apply()
    scene.kubectl.apply(manifests.service())
    scene.kubectl.rolled_out("deployment/echo")
    owned = owners(scene)
    with scene.unchanged():
        intercept = hold(scene)
        refused = apply(check=False)
        assert refused.returncode
        assert 'conflicts with "interceptor"' in refused.stderr, refused.stderr
        assert intercept.stop() == 130, intercept.transcript()
        assert owners(scene) == owned
    app["command"] = [*app["command"], "--listen", "8090"]
    apply()  # no conflict any more


def test_changes_beside_ours_are_followed(scene: Scene) -> None:
    """Another container's image, labels, a restart: theirs, told, and every new pod is served here."""
    beside = {**scene.container({"containerPort": 9090}), "name": "beside"}
    scene.deploy(manifests.deployment(scene.container(), beside, replicas=2), manifests.service())
    scene.tools()
    image = next_image(scene)
    before = scene.fingerprint()
    intercept = hold(scene, "-c", "app")

    def told(text: str, *command: str) -> None:
        at = time.time()
        scene.kubectl(*command)
        note = intercept.wait_line(lambda line: text in line.text and line.at > at, PATIENCE, text)
        scene.measured(f"told after {note.at - at:.1f} s: {json.loads(note.text)['text']}")
        scene.kubectl.rolled_out("deployment/echo")
        for pod in scene.kubectl.pods():
            scene.expect(f"http://{pod['status']['podIP']}:8080/", "200 LOCAL")

    told("labels.tier", "label", "deployment/echo", "tier=web")
    told("containers[beside].image", "set", "image", "deployment/echo", f"beside={image}")
    told("restartedAt", "rollout", "restart", "deployment/echo")
    assert intercept.stop() == 130, intercept.transcript()
    stopped = time.time()
    (restored,) = [event for event in intercept.events if event.name == "restored"]
    assert "but for what others changed" in restored["text"], restored

    def change(found: Object) -> None:
        now = scene.kubectl.json("get", "deployment/echo")
        restarted = now["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"]
        found["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = restarted
        found["spec"]["template"]["spec"]["containers"][1]["image"] = image
        found["metadata"]["labels"]["tier"] = "web"

    expect(scene, before, change, stopped)


def test_deleted_by_somebody(scene: Scene) -> None:
    """Told what is gone; what is left is as it was."""
    scene.echo()
    before = scene.fingerprint()

    def delete(what: str, said: str) -> float:
        intercept = hold(scene)
        session = next(event["session"] for event in intercept.events if event.name == "planned")
        deleted = time.time()
        scene.kubectl("delete", what.format(session), "--wait=false")
        ended(scene, intercept, deleted, said.format(session))
        return deleted

    at = delete("lease/interceptor-deployment-echo", "the lease interceptor-deployment-echo was deleted")
    expect(scene, before, None, at)
    at = delete("job/interceptor-{}", "the session object interceptor-{} was deleted")
    expect(scene, before, None, at)
    at = delete("deployment/echo", "deploy/echo was deleted by somebody")
    del before["Deployment/echo"]
    gone = ("ReplicaSet/", "EndpointSlice/", "Endpoints/")  # with the pods
    expect(scene, {name: text for name, text in before.items() if not name.startswith(gone)}, None, at)
    scene.echo()
    delete(f"namespace/{scene.namespace}", f"the namespace {scene.namespace} is being deleted")


def test_same_workload_same_second(scene: Scene) -> None:
    """Exactly one wins, the other learns who has it and since when; both are gone without a trace."""
    scene.echo()
    local = scene.local()
    with scene.unchanged():
        for _ in range(3):
            began = time.time()
            users = {
                user: scene.intercept("deploy/echo", "--port", f"{local.port}:8080", env=scene.environment(USER=user))
                for user in ("ana", "ben")
            }
            while not (lost := [user for user, one in users.items() if one.status is not None]):
                assert time.time() - began < PATIENCE, [one.transcript() for one in users.values()]
                time.sleep(0.1)
            (loser,) = lost
            (winner,) = users.keys() - {loser}
            users[winner].wait_for("ready", 60)
            assert users[loser].wait(120) == 1, users[loser].transcript()
            (failed,) = [event for event in users[loser].events if event.name == "failed"]
            assert f"already intercepted by {winner}@" in failed["text"], failed
            assert " since 20" in failed["text"], failed
            assert users[winner].stop() == 130, users[winner].transcript()
