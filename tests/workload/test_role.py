"""The Role as an admin applies it."""

from __future__ import annotations

import pytest
import yaml

from interceptor.kube import resources
from interceptor.workload.kinds import DEPLOYMENT
from interceptor.workload.rights import Right, needed
from interceptor.workload.role import Subject, binding, role, rules, yaml_of


def test_role_holds_every_right() -> None:
    wanted = needed(DEPLOYMENT, "orders")
    (found,) = yaml.safe_load_all(yaml_of([role(wanted, "developer", "shop")], ["for a person to read"]))
    assert (found["kind"], found["metadata"]) == ("Role", {"name": "developer", "namespace": "shop"})
    granted = {
        (verb, rule["apiGroups"][0], rule["resources"][0], (rule.get("resourceNames") or [""])[0])
        for rule in found["rules"]
        for verb in rule["verbs"]
    }
    asked = set()
    for right in wanted:
        plural = right.resource.plural + (f"/{right.subresource}" if right.subresource else "")
        asked.add((right.verb, right.resource.group, plural, right.name))
    assert granted == asked


def test_named_right_needs_no_line_beside_the_whole() -> None:
    both = [
        Right("get", resources.PODS),
        Right("get", resources.PODS, name="a"),
        Right("delete", resources.PODS, name="a"),
    ]
    assert rules(both) == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["delete"]},
    ]


def test_without_namespace_for_the_cluster() -> None:
    found = role([Right("list", resources.PODS)], "interceptor-list", None)
    assert (found["kind"], found["metadata"]) == ("ClusterRole", {"name": "interceptor-list"})
    assert binding(found, Subject("Group", "dev"))["kind"] == "ClusterRoleBinding"


def test_each_subject_has_its_binding() -> None:
    of = role([Right("list", resources.PODS)], "interceptor", "shop")
    ana, ci = binding(of, Subject("User", "ana@example.com")), binding(of, Subject("ServiceAccount", "ci", "build"))
    assert ana["metadata"] == {"name": "interceptor:ana@example.com", "namespace": "shop"}
    assert ana["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "interceptor"}
    assert ci["subjects"] == [{"kind": "ServiceAccount", "name": "ci", "namespace": "build"}]
    assert binding(of, Subject("User", "oidc:a/b"))["metadata"]["name"] == "interceptor:oidc:a-b"


@pytest.mark.parametrize("name", ["yes", "1", "a: b", "ü", '"', "#", "{x}"])
def test_names_stay_names(name: str) -> None:
    of = role([Right("list", resources.PODS)], "interceptor", "shop")
    (found,) = yaml.safe_load_all(yaml_of([binding(of, Subject("User", name))]))
    assert found == binding(of, Subject("User", name))
