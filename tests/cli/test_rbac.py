"""`interceptor rbac` needs no cluster where the words say it all, and prints what `kubectl apply` takes."""

from __future__ import annotations

import json

import yaml

from tests.cli.test_main import typed

NOWHERE = {"KUBECONFIG": "/nonexistent"}


def test_one_workload_is_one_role() -> None:
    done = typed(
        "rbac", "--for", "sts/carts", "-n", "shop", "--user", "ana", "--service-account", "ci", environ=NOWHERE
    )
    assert done.returncode == 0, done.stderr
    role, *bindings = yaml.safe_load_all(done.stdout)
    assert (role["kind"], role["metadata"]["name"]) == ("Role", "interceptor-statefulset-carts")
    assert all(
        rule.get("resourceNames") == ["carts"] for rule in role["rules"] if rule["resources"] == ["statefulsets"]
    )
    assert [binding["subjects"][0]["name"] for binding in bindings] == ["ana", "ci"]
    assert bindings[1]["subjects"][0]["namespace"] == "shop"


def rules(*options: str) -> dict[str, list[str]]:
    done = typed("rbac", "--for", "deploy/orders", "-n", "shop", "-o", "json", *options, environ=NOWHERE)
    (role,) = json.loads(done.stdout)["items"]
    return {",".join(rule["resources"]): rule["verbs"] for rule in role["rules"]}


def test_log_level_reads_logs() -> None:
    assert "pods/log" not in rules()
    assert rules("--log-level") == {**rules(), "pods/log": ["get"]}


def test_tap_watches_one_workload() -> None:
    """By name, in Linkerd's group, and nothing besides."""
    assert rules("--tap") == {**rules(), "deployments/tap": ["watch"]}
    done = typed("rbac", "--for", "deploy/orders", "-n", "shop", "-o", "json", "--tap", environ=NOWHERE)
    (role,) = json.loads(done.stdout)["items"]
    (rule,) = [one for one in role["rules"] if one["resources"] == ["deployments/tap"]]
    assert (rule["apiGroups"], rule["resourceNames"]) == (["tap.linkerd.io"], ["orders"])


def test_namespace_has_a_reading_role_beside() -> None:
    done = typed("rbac", "-n", "shop", "-o", "json", environ=NOWHERE)
    items = json.loads(done.stdout)["items"]
    assert [item["kind"] for item in items] == ["Role", "ClusterRole"]
    assert {verb for rule in items[1]["rules"] for verb in rule["verbs"]} == {"list", "watch"}
    only = json.loads(typed("rbac", "-n", "shop", "-o", "json", "--namespace-only", environ=NOWHERE).stdout)
    assert only["items"] == items[:1]


def test_without_guard_no_roles() -> None:
    done = typed("rbac", "-n", "shop", "--no-guard", "--namespace-only", environ=NOWHERE)
    assert "roles" not in done.stdout


def test_namespace_comes_from_the_kubeconfig() -> None:
    done = typed("rbac", environ=NOWHERE)
    assert done.returncode == 1
    assert "/nonexistent" in done.stderr


def test_debug_needs_more() -> None:
    words = ("rbac", "--for", "deploy/web", "-n", "shop", "-o", "json")
    without, with_ = (
        json.loads(typed(*words, *more, environ=NOWHERE).stdout)["items"][0]["rules"] for more in ((), ("--debug",))
    )
    added = {rule["resources"][0] for rule in with_} - {rule["resources"][0] for rule in without}
    assert added == {"pods/attach", "pods/ephemeralcontainers"}
