"""The Role that is printed, and the words for what is missing."""

from __future__ import annotations

import yaml

from interceptor.kube import resources
from interceptor.workload.rights import MissingRights, Right, needed, role_yaml


def test_role_holds_every_right() -> None:
    rights = needed("orders")
    role = yaml.safe_load(role_yaml("shop", rights))
    assert (role["kind"], role["metadata"]) == ("Role", {"name": "interceptor", "namespace": "shop"})
    granted = {
        (verb, rule["apiGroups"][0], rule["resources"][0], (rule.get("resourceNames") or [""])[0])
        for rule in role["rules"]
        for verb in rule["verbs"]
    }
    asked = set()
    for right in rights:
        plural = right.resource.plural + (f"/{right.subresource}" if right.subresource else "")
        asked.add((right.verb, right.resource.group, plural, right.name))
    assert granted == asked


def test_nothing_beyond_the_namespace() -> None:
    assert all(right.resource.namespaced for right in needed("orders"))
    assert not any("*" in str(right) for right in needed("orders"))


def test_without_guard_no_roles() -> None:
    titles = {str(right) for right in needed("orders", guard=False)}
    assert "create roles.rbac.authorization.k8s.io" not in titles
    assert "create serviceaccounts/token" not in titles


def test_missing_are_said_at_once() -> None:
    lacking = [
        Right("get", resources.PODS, "portforward"),
        Right("create", resources.PODS, "portforward"),
        Right("patch", resources.DEPLOYMENTS, name="orders"),
    ]
    assert MissingRights("shop", lacking).message == (
        "missing rights in namespace shop: get, create pods/portforward; patch deployments.apps"
    )
