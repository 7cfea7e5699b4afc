"""What a session on a ServiceProfile or a route owns, and what it may."""

from __future__ import annotations

import pytest

from interceptor.kube import resources
from interceptor.workload.kinds import DEPLOYMENT, Kind, WorkloadRef
from interceptor.workload.objects import SessionNames
from interceptor.workload.policy import POLICY_KINDS, guard_pod, guard_role, is_policy, policy_from_lease, policy_kind
from interceptor.workload.rights import needed_for_profile

PROFILE = "web.shop.svc.cluster.local"
NAMES = SessionNames("profile-web-x7f2q", "shop", PROFILE, policy_kind(resources.SERVICE_PROFILES))
OWNER = {"kind": "Job", "name": NAMES.object, "uid": "u"}


@pytest.mark.parametrize("kind", POLICY_KINDS[:3])
def test_lease_tells_what_it_locks(kind: Kind) -> None:
    names = SessionNames("s", "shop", "books", kind)
    found = policy_from_lease(names.lease, "shop", "s")
    assert found == names.ref
    assert is_policy(found)
    assert policy_from_lease("interceptor-deployment-orders", "shop") is None
    assert not is_policy(WorkloadRef(DEPLOYMENT, "shop", "orders"))


def test_guard_may_do_just_this() -> None:
    rules = {
        (rule["resources"][0], rule["resourceNames"][0]): rule["verbs"]
        for rule in guard_role(NAMES, OWNER, made=False)["rules"]
    }
    assert rules == {
        ("serviceprofiles", PROFILE): ["get", "patch"],
        ("leases", f"interceptor-serviceprofile-{PROFILE}"): ["get"],
        ("jobs", NAMES.object): ["get", "delete"],
    }
    assert "delete" in guard_role(NAMES, OWNER, made=True)["rules"][0]["verbs"]


@pytest.mark.parametrize("made", [False, True])
def test_user_may_give_what_the_guard_may(made: bool) -> None:
    """The API server lets nobody make a Role with more than they may themselves."""
    mine = {
        (right.resource.plural, right.verb)
        for right in needed_for_profile(resources.SERVICE_PROFILES, PROFILE, made=made)
        if right.required
    }
    for rule in guard_role(NAMES, OWNER, made=made)["rules"]:
        wanted = {(rule["resources"][0], verb) for verb in rule["verbs"]}
        assert wanted <= mine, rule


def test_guard_is_admitted_anywhere() -> None:
    """Pod Security `restricted`, and no mesh around it: its only peer is the API server."""
    pod = guard_pod(NAMES, OWNER, "python:3.13-slim")
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"].keys() == {"requests", "limits"}
    assert pod["metadata"]["annotations"]["linkerd.io/inject"] == "disabled"
    assert pod["metadata"]["ownerReferences"] == [OWNER]
