"""Linkerd's annotation goes in and out exactly, whatever was there and whatever others did meanwhile."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from interceptor.errors import InterceptorError
from interceptor.workload.debug_sidecar import ENABLE, RECORD, debugged, is_of, with_sidecar, without_sidecar

WAYS: list[dict[str, Any]] = [
    {"metadata": {"name": "web"}, "spec": {"template": {"spec": {}}}},
    {"metadata": {"name": "web"}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {}}}},
    {
        "metadata": {"name": "web", "annotations": {"x": "y"}},
        "spec": {"template": {"metadata": {"annotations": {ENABLE: "false", "k": "v"}}, "spec": {}}},
    },
]


def changed(found: dict[str, Any]) -> dict[str, Any]:
    return with_sidecar(found, "web-abcde", "ana@laptop", "now")


@pytest.mark.parametrize("before", WAYS)
def test_it_goes_back_exactly(before: dict[str, Any]) -> None:
    given = copy.deepcopy(before)
    during = changed(before)
    assert during["spec"]["template"]["metadata"]["annotations"][ENABLE] == "true"
    assert before == given
    after = without_sidecar(during, "web-abcde")
    assert after is not None
    # Empty maps are none to the API.
    for place in (after, given):
        if not place["metadata"].get("annotations"):
            place["metadata"].pop("annotations", None)
        if not place["spec"]["template"].get("metadata"):
            place["spec"]["template"].pop("metadata", None)
    assert after == given


def test_others_changes_stay() -> None:
    during = changed(WAYS[0])
    annotations = during["spec"]["template"]["metadata"]["annotations"]
    annotations |= {ENABLE: "yes", "theirs": "1"}
    after = without_sidecar(during)
    assert after is not None
    assert after["spec"]["template"]["metadata"]["annotations"] == {ENABLE: "yes", "theirs": "1"}


def test_only_its_own_session_is_undone() -> None:
    assert without_sidecar(changed(WAYS[0]), "web-other") is None
    assert without_sidecar(WAYS[0]) is None


def test_second_is_refused_by_name() -> None:
    with pytest.raises(InterceptorError, match="ana@laptop"):
        changed(changed(WAYS[1]))


def test_damaged_record_is_told() -> None:
    with pytest.raises(InterceptorError, match="can't be read"):
        debugged({"metadata": {"annotations": {RECORD: "[]"}}})


def test_revisions_and_pods_are_known() -> None:
    during = changed(WAYS[0])
    assert is_of({"metadata": {}, "spec": {"template": during["spec"]["template"]}}, "web-abcde")
    assert is_of({"metadata": during["spec"]["template"]["metadata"], "spec": {"containers": []}}, "web-abcde")
    assert is_of({"metadata": {}, "data": {"spec": {"template": during["spec"]["template"]}}}, "web-abcde")
    assert not is_of({"metadata": {}, "spec": {"template": WAYS[0]["spec"]["template"]}}, "web-abcde")
