"""A change of a route and its inverse: exactly back, or with what others wrote meanwhile."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from interceptor.errors import InterceptorError
from interceptor.swap.path import ABSENT
from interceptor.swap.policy import (
    POLICY_ANNOTATION,
    PolicyRecord,
    digest,
    edited,
    given_back,
    policy_record_of,
    revert,
    with_policy_record,
)

Object = dict[str, Any]
FLAKY = ("spec", "routes", {"name": "GET /flaky"})
OTHERS = [{"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": {"f:spec": {"f:routes": {}}}}]
EDITS = [
    ((*FLAKY, "timeout"), "300ms"),
    ((*FLAKY, "isRetryable"), True),
    (("spec", "retryBudget", "retryRatio"), 0.3),
    (("metadata", "annotations", "retry.linkerd.io/limit"), "2"),
]


def profile() -> Object:
    routes = [{"name": "GET /books"}, {"name": "GET /flaky", "timeout": "1s"}]
    metadata = {"name": "web.shop.svc.cluster.local", "resourceVersion": "7", "managedFields": copy.deepcopy(OTHERS)}
    return {"metadata": metadata, "spec": {"routes": routes}}


def changed(before: Object, edits: list[Any] | None = None, *, created: bool = False) -> Object:
    after, changes = edited(before, edits or EDITS)
    seen = digest(after if created else before)
    record = PolicyRecord("web-x7f2q", "ana@laptop", "then", "", created, changes, seen, tuple(OTHERS))
    return with_policy_record(after, record)


def test_back_exactly() -> None:
    before = profile()
    after = changed(before)
    assert after["spec"]["routes"][1] == {"name": "GET /flaky", "timeout": "300ms", "isRetryable": True}
    reverted = revert(after)
    assert reverted.wanted == before
    assert reverted.exact
    assert not reverted.kept


def test_record_survives_the_annotation() -> None:
    after = changed(profile())
    record = policy_record_of(after)
    assert record is not None
    assert with_policy_record(profile(), record)["metadata"]["annotations"][POLICY_ANNOTATION] == record.text()
    assert record.changes[1].before is ABSENT


def test_nothing_to_change_is_no_change() -> None:
    after, changes = edited(profile(), [((*FLAKY, "timeout"), "1s"), ((*FLAKY, "isRetryable"), ABSENT)])
    assert (after, changes) == (profile(), ())


def test_others_changes_stay() -> None:
    after = changed(profile())
    after["spec"]["routes"].insert(0, {"name": "GET /new"})
    after["spec"]["routes"][2]["timeout"] = "5s"
    after["metadata"]["annotations"]["team"] = "shop"
    reverted = revert(after)
    assert reverted.kept == ("spec.routes[GET /flaky].timeout",)
    assert not reverted.exact
    assert reverted.wanted is not None
    assert reverted.wanted["spec"]["routes"][2] == {"name": "GET /flaky", "timeout": "5s"}
    assert reverted.wanted["metadata"]["annotations"] == {"team": "shop"}
    assert "retryBudget" not in reverted.wanted["spec"]


def test_route_that_is_gone_is_told() -> None:
    after = changed(profile())
    del after["spec"]["routes"][1]
    assert revert(after).kept == ("spec.routes[GET /flaky].timeout",)


def test_made_object_goes() -> None:
    assert revert(changed(profile(), created=True)).wanted is None


def test_made_object_that_others_changed_stays() -> None:
    after = changed(profile(), created=True)
    after["spec"]["routes"].append({"name": "GET /theirs"})
    reverted = revert(after)
    assert reverted.wanted is not None
    assert POLICY_ANNOTATION not in str(reverted.wanted["metadata"])
    assert reverted.kept


def test_owners_are_given_back() -> None:
    before = profile()
    after = changed(before)
    record = policy_record_of(after)
    assert record is not None
    stored = revert(after).wanted
    assert stored is not None
    status = {"manager": "controller", "subresource": "status", "fieldsV1": {}}
    stored["metadata"]["managedFields"] = [{"manager": "interceptor"}, status]
    assert given_back(stored, record) == [*OTHERS, status]
    stored["spec"]["routes"][0]["timeout"] = "9s"
    assert given_back(stored, record) is None


def test_damaged_record_is_named() -> None:
    item = {"metadata": {"name": "web", "annotations": {POLICY_ANNOTATION: "{"}}}
    with pytest.raises(InterceptorError, match=r"annotation interceptor/profile of web can't be read"):
        policy_record_of(item)
    item["metadata"]["annotations"] = {POLICY_ANNOTATION: '{"v": 99}'}
    with pytest.raises(InterceptorError, match="newer interceptor"):
        policy_record_of(item)
