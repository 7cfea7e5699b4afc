"""Scenario 24: the Role that `--dry-run` prints is enough, and each verb in it is missed by name."""

import json
import signal
import time
from itertools import takewhile
from typing import Any

import pytest
import yaml

from e2e.kubectl import Object
from e2e.scene import Scene

USER = "ana"


def role(scene: Scene) -> Object:
    """The Role that a dry run prints."""
    dry = scene.run("intercept", "-n", scene.namespace, "deploy/echo", "--port", "8080", "--dry-run")
    assert dry.wait(30) == 0, dry.transcript()
    _, _, rest = dry.text("stdout").partition("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n")
    lines = takewhile(lambda line: not line.startswith("#"), rest.splitlines())
    found: Object = yaml.safe_load("\n".join(lines))
    return found


def grant(scene: Scene, rules: list[dict[str, Any]]) -> None:
    """Exactly these rights for the user, nothing else."""
    name = {"name": "developer", "namespace": scene.namespace}
    api = "rbac.authorization.k8s.io"
    scene.kubectl.apply(
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": name, "rules": rules},
        {"apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": name,
         "roleRef": {"apiGroup": api, "kind": "Role", "name": "developer"},
         "subjects": [{"kind": "User", "name": USER, "apiGroup": api}]},
    )  # fmt: skip


def test_printed_role_is_enough(scene: Scene) -> None:
    scene.echo()
    scene.tools()
    rules = role(scene)["rules"]
    grant(scene, rules)
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", "--as", USER)
        scene.expect("http://echo/", "200 LOCAL")
        assert intercept.stop() == 130, intercept.transcript()
        assert not [event for event in intercept.events if event.name == "failed"]


@pytest.mark.timeout(400)
def test_each_missing_verb_is_named(scene: Scene) -> None:
    """Without one verb the command either says which, and changes nothing, or works without it and says so."""
    scene.echo()
    rules = role(scene)["rules"]
    grant(scene, rules)
    before = scene.fingerprint()
    silent = []
    for number, rule in enumerate(rules):
        for verb in rule["verbs"]:
            fewer = [dict(r) for r in rules]
            fewer[number]["verbs"] = [v for v in rule["verbs"] if v != verb]
            grant(scene, [r for r in fewer if r["verbs"]])
            dry = scene.intercept("deploy/echo", "--port", "8080", "--as", USER, "--dry-run")
            dry.wait(30)
            resource = rule["resources"][0]
            planned = [event for event in dry.events if event.name == "planned"]
            told = planned[0]["plan"]["missing rights"] if planned else [dry.events[-1]["text"]]
            kind = resource.split("/")[0].rstrip("s")
            if not any(verb in one and kind in one.lower() for one in told):
                silent.append(f"{verb} {resource}: {told}")
    grant(scene, rules)
    assert not silent, "\n".join(silent)
    scene.expect_same(before)


def test_missing_right_stops_before_change(scene: Scene) -> None:
    scene.echo()
    rules = [
        {**rule, "verbs": [v for v in rule["verbs"] if not (v == "patch" and rule["resources"] == ["deployments"])]}
        for rule in role(scene)["rules"]
    ]
    grant(scene, [rule for rule in rules if rule["verbs"]])
    with scene.unchanged():
        intercept = scene.intercept("deploy/echo", "--port", "8080", "--as", USER)
        assert intercept.wait(30) == 1, intercept.transcript()
        failed = intercept.wait_for("failed")
        assert "patch" in json.dumps(failed.fields)
        assert "deployments" in json.dumps(failed.fields)


def test_without_roles_the_app_comes_back_in_place(scene: Scene) -> None:
    """Who may not create Roles is told what remains: in the container's own image, the app itself when the client dies."""
    scene.echo()
    grant(scene, [rule for rule in role(scene)["rules"] if "rbac.authorization.k8s.io" not in rule["apiGroups"]])
    before = scene.fingerprint()
    refused = scene.intercept("deploy/echo", "--agent-image", scene.image, "--as", USER)
    assert refused.wait(30) == 1, refused.transcript()
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
        f"the app served again after {load.wait_for('CLUSTER', after=killed, timeout=30).end - killed:.1f} s"
    )
    load.wait_steady("CLUSTER")
    (same,) = scene.kubectl.pods()
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]
    assert scene.kubectl.restarts() == 0
    seen = scene.run("status", "deploy/echo", "-n", scene.namespace, "--as", USER)
    assert seen.wait(30) == 1, seen.transcript()
    assert "runs the app's own command in place" in seen.text("stdout")
    restored = scene.run("restore", "deploy/echo", "-n", scene.namespace, "--as", USER)
    assert restored.wait(90) == 0, restored.transcript()
    load.finish()
    scene.kubectl("delete", "pod", "load", "--ignore-not-found", "--wait=true")
    scene.expect_same(before)


def test_other_namespace_is_refused(scene: Scene) -> None:
    scene.echo()
    grant(scene, role(scene)["rules"])
    intercept = scene.run("intercept", "-n", "kube-system", "-o", "json", "deploy/coredns", "--as", USER)
    assert intercept.wait(30) == 1, intercept.transcript()
    assert "kube-system" in json.dumps(intercept.wait_for("failed").fields)
