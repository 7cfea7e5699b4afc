"""Scenario 24: the Role that `interceptor rbac` prints is enough, and each verb in it is missed by name."""

import asyncio
import json
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from e2e.kubectl import Object
from e2e.scene import Scene
from interceptor.cli.running import first_cause
from interceptor.errors import InterceptorError
from interceptor.session.events import Event
from interceptor.session.intercept import intercept as run_session
from interceptor.session.options import Access, InterceptOptions

USER = "ana"
API = "rbac.authorization.k8s.io"
AT_ONCE = 4


def printed(scene: Scene, *arguments: str) -> str:
    """What `interceptor rbac` says."""
    done = scene.run("rbac", "-n", scene.namespace, *arguments)
    assert done.wait(120) == 0, done.transcript()
    return done.text("stdout") + "\n"


def role(scene: Scene) -> Object:
    """The Role for the one workload."""
    found: Object = json.loads(printed(scene, "--for", "deploy/echo", "-o", "json"))["items"][0]
    return found


def granted(scene: Scene, rules: list[dict[str, Any]], user: str) -> list[Object]:
    """Exactly these rights for a user, nothing else."""
    name = {"name": user, "namespace": scene.namespace}
    return [
        {"apiVersion": f"{API}/v1", "kind": "Role", "metadata": name, "rules": rules},
        {"apiVersion": f"{API}/v1", "kind": "RoleBinding", "metadata": name,
         "roleRef": {"apiGroup": API, "kind": "Role", "name": user},
         "subjects": [{"kind": "User", "name": user, "apiGroup": API}]},
    ]  # fmt: skip


def grant(scene: Scene, rules: list[dict[str, Any]]) -> None:
    scene.kubectl.apply(*granted(scene, rules, USER))


def test_printed_role_is_enough(scene: Scene) -> None:
    """As an admin would give it to a ServiceAccount: every command that looks at this one workload works with it."""
    scene.echo()
    scene.tools()
    scene.kubectl("create", "serviceaccount", "ci")
    scene.kubectl("apply", "-f", "-", stdin=printed(scene, "--for", "deploy/echo", "--service-account", "ci"))
    account = ("--as", f"system:serviceaccount:{scene.namespace}:ci")
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", *account)
        assert not [event for event in intercept.events if event.name == "failed"]
        scene.expect("http://echo/", "200 LOCAL")
        status = scene.run("status", "deploy/echo", "-n", scene.namespace, *account)
        assert status.wait(120) == 0, status.transcript()
        intercept.send(signal.SIGSTOP)
        restore = scene.run("restore", "deploy/echo", "-n", scene.namespace, *account)
        assert restore.wait(120) == 0, restore.transcript()
        intercept.send(signal.SIGCONT)
        assert intercept.wait(120) == 1, intercept.transcript()


def test_whole_role_is_valid(scene: Scene) -> None:
    everything = printed(scene, "--user", USER)
    assert "ClusterRole" in everything
    scene.kubectl("apply", "--dry-run=server", "-f", "-", stdin=everything)
    scene.kubectl("apply", "-f", "-", stdin=printed(scene, "--namespace-only", "--user", USER))
    for command in (("list",), ("status",), ("restore", "--all")):
        done = scene.run(*command, "-n", scene.namespace, "--as", USER)
        assert done.wait(120) == 0, done.transcript()
        assert "not seen" not in done.text("stderr")


class Told:
    """A Teller for one dry run."""

    def __init__(self) -> None:
        self.missing = ""

    def tell(self, event: Event) -> None:
        plan = event.details.get("plan")
        if isinstance(plan, dict):
            self.missing = "\n".join(plan["missing rights"])

    def busy(self, text: str) -> AbstractContextManager[None]:
        return nullcontext()

    def shared(self) -> AbstractContextManager[None]:
        return nullcontext()


def test_each_missing_verb_is_named(scene: Scene) -> None:
    """Without one verb a dry run says which. One user for each, and no process: there are some forty."""
    scene.echo()
    rules = role(scene)["rules"]
    removed = [(number, verb) for number, rule in enumerate(rules) for verb in rule["verbs"]]
    objects: list[Object] = []
    for number, verb in removed:
        fewer = [dict(rule) for rule in rules]
        fewer[number]["verbs"] = [kept for kept in fewer[number]["verbs"] if kept != verb]
        objects += granted(scene, [rule for rule in fewer if rule["verbs"]], f"ana-{number}-{verb}")
    scene.kubectl.apply(*objects)
    before = scene.fingerprint()
    silent = asyncio.run(_silent(scene, rules, removed))
    assert not silent, "\n".join(silent)
    scene.expect_same(before)


async def _silent(scene: Scene, rules: list[Object], removed: list[tuple[int, str]]) -> list[str]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def dry_run(number: int, verb: str) -> str:
        access = Access(str(scene.kubectl.kubeconfig), namespace=scene.namespace, as_user=f"ana-{number}-{verb}")
        options = InterceptOptions("deploy/echo", ports=("8080",), dry_run=True, access=access)
        told = Told()
        async with gate:
            try:
                await run_session(options, told)
            except Exception as error:  # also one in the group of those who were asked beside it
                cause = first_cause(error)
                if not isinstance(cause, InterceptorError):
                    raise
                told.missing = cause.message
        (resource,) = rules[number]["resources"]
        kind = resource.split("/")[0].rstrip("s")
        found = any(verb in line and kind in line.lower() for line in told.missing.splitlines())
        return "" if found else f"{verb} {resource}: {told.missing!r}"

    return [words for words in await asyncio.gather(*(dry_run(*one) for one in removed)) if words]


def test_missing_right_stops_before_change(scene: Scene) -> None:
    scene.echo()
    rules = [
        {**rule, "verbs": [v for v in rule["verbs"] if not (v == "patch" and rule["resources"] == ["deployments"])]}
        for rule in role(scene)["rules"]
    ]
    grant(scene, [rule for rule in rules if rule["verbs"]])
    with scene.unchanged():
        intercept = scene.intercept("deploy/echo", "--port", "8080", "--as", USER)
        assert intercept.wait(120) == 1, intercept.transcript()
        failed = intercept.wait_for("failed")
        assert "patch" in json.dumps(failed.fields)
        assert "deployments" in json.dumps(failed.fields)


def test_without_roles_the_app_comes_back_in_place(scene: Scene) -> None:
    """Who may not create Roles is told what remains: in the container's own image, the app itself when the client dies."""
    scene.echo()
    grant(scene, [rule for rule in role(scene)["rules"] if "rbac.authorization.k8s.io" not in rule["apiGroups"]])
    before = scene.fingerprint()
    refused = scene.intercept("deploy/echo", "--agent-image", scene.image, "--as", USER)
    assert refused.wait(120) == 1, refused.transcript()
    assert "--no-guard" in refused.wait_for("failed")["hint"]
    scene.expect_same(before)
    load = scene.load()
    load.wait_for("CLUSTER")
    intercept = scene.started("deploy/echo", "--port", f"{scene.local().port}:8080", "--as", USER)
    assert any("you may not create roles" in event["text"] for event in intercept.events if event.name == "note")
    load.wait_steady("LOCAL")
    (pod,) = scene.kubectl.pods()
    killed = time.time()
    intercept.send(signal.SIGKILL)
    scene.measured(
        f"the app served again after {load.wait_for('CLUSTER', after=killed, timeout=60).end - killed:.1f} s"
    )
    load.wait_steady("CLUSTER")
    (same,) = scene.kubectl.pods()
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]
    assert scene.kubectl.restarts() == 0
    seen = scene.run("status", "deploy/echo", "-n", scene.namespace, "--as", USER)
    assert seen.wait(120) == 1, seen.transcript()
    assert "runs the app's own command in place" in seen.text("stdout")
    restored = scene.run("restore", "deploy/echo", "-n", scene.namespace, "--as", USER)
    assert restored.wait(120) == 0, restored.transcript()
    load.finish()
    scene.kubectl("delete", "pod", "load", "--ignore-not-found", "--wait=true")
    scene.expect_same(before)


def test_other_namespace_is_refused(scene: Scene) -> None:
    scene.echo()
    grant(scene, role(scene)["rules"])
    intercept = scene.run("intercept", "-n", "kube-system", "-o", "json", "deploy/coredns", "--as", USER)
    assert intercept.wait(120) == 1, intercept.transcript()
    assert "kube-system" in json.dumps(intercept.wait_for("failed").fields)
