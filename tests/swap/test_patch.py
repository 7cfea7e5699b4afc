"""JSON Patch: whatever differs, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interceptor.swap import SwapPlan, json_patch, precondition, restore, swap
from interceptor.swap.path import same
from tests.swap.test_template import PLAN, deployment
from tests.swap.workloads import Workload, names, some, swaps

scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=2)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "a/b", "m~n", "", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)
items = st.dictionaries(names, st.integers(0, 3), max_size=4).map(
    lambda found: [{"name": name, "value": value} for name, value in found.items()]
)


def apply(operations: list[dict[str, Any]], document: Any) -> Any:
    """RFC 6902, the three operations we send."""
    root = {"": copy.deepcopy(document)}
    for operation in operations:
        *way, last = ["", *(part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:])]
        parent: Any = root
        for part in way:
            parent = parent[int(part)] if isinstance(parent, list) else parent[part]
        if isinstance(parent, list):
            index = int(last)
            assert index < len(parent) + (operation["op"] == "add")
            if operation["op"] == "add":
                parent.insert(index, operation["value"])
            elif operation["op"] == "remove":
                del parent[index]
            else:
                parent[index] = operation["value"]
        elif operation["op"] == "remove":
            del parent[last]
        else:
            assert operation["op"] == "add" or last in parent
            parent[last] = operation["value"]
    return root[""]


@given(values, values)
def test_patch_leads_to_after(before: Any, after: Any) -> None:
    assert same(apply(json_patch(before, after), before), after)


@given(items, items)
def test_named_lists_lead_to_after(before: Any, after: Any) -> None:
    assert same(apply(json_patch(before, after), before), after)


@given(values)
def test_same_needs_nothing(value: Any) -> None:
    assert json_patch(value, copy.deepcopy(value)) == []


@some
@given(swaps())
def test_swap_and_back_by_patch(case: tuple[Workload, SwapPlan]) -> None:
    workload, plan = case
    swapped = apply(json_patch(workload, swap(workload, plan)), workload)
    assert same(swapped, swap(workload, plan))
    restored = restore(swapped).workload
    assert same(apply(json_patch(swapped, restored), swapped), workload)


def test_one_field_is_one_operation() -> None:
    before, after = deployment({}), deployment({"image": "shop/orders:2"})
    assert json_patch(before, after) == [
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop/orders:2"}
    ]


def test_new_volume_is_one_operation() -> None:
    workload = deployment({}, volumes=[{"name": "data", "emptyDir": {}}])
    operations = json_patch(workload, swap(workload, PLAN))
    paths = [operation["path"] for operation in operations]
    assert "/spec/template/spec/volumes/1" in paths
    assert "/spec/template/spec/volumes" not in paths


def test_true_is_not_one() -> None:
    assert json_patch({"x": 1}, {"x": True}) == [{"op": "replace", "path": "/x", "value": True}]


def test_precondition_names_the_version() -> None:
    assert precondition("42") == {"op": "replace", "path": "/metadata/resourceVersion", "value": "42"}
