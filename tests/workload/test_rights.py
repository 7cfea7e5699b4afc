"""Which rights a command needs, and the words for those that are missing."""

from __future__ import annotations

import pytest

from interceptor.kube import resources
from interceptor.workload.kinds import DEPLOYMENT, KINDS, Kind
from interceptor.workload.rights import everything, needed, reading


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_beyond_the_namespace(kind: Kind) -> None:
    rights = [*needed(kind, "orders"), *reading(), *everything()]
    assert all(right.resource.namespaced for right in rights)
    assert not any("*" in str(right) for right in rights)


def test_without_guard_no_roles() -> None:
    without = needed(DEPLOYMENT, "orders", guard=False)
    assert not any(right.guard for right in without)
    assert not any(right.resource is resources.ROLES for right in without)


def test_workload_and_lease_are_named() -> None:
    named = {(str(right), right.name) for right in needed(DEPLOYMENT, "orders") if right.name}
    assert ("patch deployments.apps", "orders") in named
    assert ("delete leases.coordination.k8s.io", "interceptor-deployment-orders") in named
    assert not any(right.name for right in needed(DEPLOYMENT))


def test_pods_are_deleted_where_no_controller_does() -> None:
    def deletes(kind: Kind, by_hand: bool) -> bool:
        return any(str(right) == "delete pods" for right in needed(kind, by_hand=by_hand))

    assert [kind.short for kind in KINDS if deletes(kind, by_hand=True)] == ["sts", "ds", "rs", "pod"]
    assert [kind.short for kind in KINDS if deletes(kind, by_hand=False)] == ["sts", "rs", "pod"]
    assert not any(right.verb == "create" for right in needed(DEPLOYMENT) if str(right) == "create pods")


def test_everything_is_said_once() -> None:
    rights = [(right.verb, right.resource, right.subresource) for right in everything()]
    assert len(rights) == len(set(rights))
    for right in needed(DEPLOYMENT):
        (found,) = (one for one in everything() if str(one) == str(right))
        assert found.required or not right.required
