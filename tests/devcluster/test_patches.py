from __future__ import annotations

from typing import Any

import pytest

from interceptor.devcluster.patch.apply import server_side_apply
from interceptor.devcluster.patch.jsonpatch import json_patch, merge_patch
from interceptor.devcluster.patch.strategic import strategic_merge
from interceptor.devcluster.status import ApiError


def deploy(*containers: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [*containers]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", **metadata},
        "spec": {"template": template},
    }


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ([{"op": "add", "path": "/a/1", "value": 9}], {"a": [1, 9, 2]}),
        ([{"op": "add", "path": "/a/-", "value": 9}], {"a": [1, 2, 9]}),
        ([{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ([{"op": "replace", "path": "/a", "value": None}], {"a": None}),
        ([{"op": "move", "from": "/a", "path": "/b"}], {"b": [1, 2]}),
        ([{"op": "copy", "from": "/a/0", "path": "/b"}], {"a": [1, 2], "b": 1}),
        ([{"op": "test", "path": "/a/1", "value": 2}], {"a": [1, 2]}),
    ],
)
def test_json_patch_operations(patch: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    before = {"a": [1, 2]}
    assert json_patch(before, patch) == expected
    assert before == {"a": [1, 2]}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/b"}, {"op": "add", "path": "/a/7", "value": 1}, {"op": "add", "path": "/b/c", "value": 1},
        {"op": "replace", "path": "/b", "value": 1}, {"op": "nonsense", "path": "/a"}, {"op": "add", "path": "a", "value": 1},
    ],
)  # fmt: skip
def test_bad_operation_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({"a": [1]}, [operation])
    assert caught.value.code == 422


def test_null_removes() -> None:
    assert merge_patch({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None}, "d": [2, 3]}) == {
        "a": {"c": 2},
        "d": [2, 3],
    }


def test_strategic_directives() -> None:
    before = {
        "spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "nodeSelector": {"x": "1", "y": "2"}}
    }
    patch = {
        "spec": {
            "containers": [{"name": "a", "$patch": "delete"}, {"name": "c"}],
            "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
            "nodeSelector": {"$patch": "replace", "z": "3"},
        }
    }
    assert strategic_merge(before, patch) == {
        "spec": {"containers": [{"name": "c"}, {"name": "b"}], "nodeSelector": {"z": "3"}}
    }


def test_strategic_keeps_strategy_keys() -> None:
    before = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(before, patch) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_primitive_lists_lose_items() -> None:
    before = {"metadata": {"finalizers": ["a", "b"]}}
    assert strategic_merge(before, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}) == {
        "metadata": {"finalizers": ["b"]}
    }


def test_apply_leaves_others_fields() -> None:
    live = server_side_apply(None, deploy({"name": "a", "image": "1"}), "one", force=False)
    live = server_side_apply(live, deploy({"name": "b", "image": "2"}), "two", force=False)
    assert [item["name"] for item in live["spec"]["template"]["spec"]["containers"]] == ["a", "b"]
    live = server_side_apply(live, deploy(), "one", force=False)
    assert [item["name"] for item in live["spec"]["template"]["spec"]["containers"]] == ["b"]


def test_apply_conflicts_name_the_field() -> None:
    live = server_side_apply(None, deploy({"name": "a", "image": "1"}), "one", force=False)
    with pytest.raises(ApiError) as caught:
        server_side_apply(live, deploy({"name": "a", "image": "2"}), "two", force=False)
    assert '.spec.template.spec.containers[{"name":"a"}].image' in caught.value.message
    forced = server_side_apply(live, deploy({"name": "a", "image": "2"}), "two", force=True)
    again = server_side_apply(forced, deploy({"name": "a"}), "one", force=False)
    assert again["spec"]["template"]["spec"]["containers"] == [{"name": "a", "image": "2"}]
