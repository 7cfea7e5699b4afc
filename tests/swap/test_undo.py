"""The end state equals the start state, whatever others did in between."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interceptor.swap import SWAP_ANNOTATION, SwapPlan, restore, swap, taken_back
from interceptor.swap.path import same
from tests.swap.test_template import PLAN, app_of, deployment
from tests.swap.workloads import Workload, names, some, swaps, texts


@some
@given(swaps())
def test_restore_inverts_swap(case: tuple[Workload, SwapPlan]) -> None:
    workload, plan = case
    restored, kept = restore(swap(workload, plan))
    assert same(restored, workload)
    assert kept == []


@some
@given(swaps())
def test_restore_twice_is_once(case: tuple[Workload, SwapPlan]) -> None:
    workload, plan = case
    once = restore(swap(workload, plan)).workload
    assert restore(once) == (once, [])


@some
@given(swaps())
def test_half_restored_is_told(case: tuple[Workload, SwapPlan]) -> None:
    """Between the two writes of a way back only the record is left; before the first and after the second that is not so."""
    workload, plan = case
    swapped = swap(workload, plan)
    record = swapped["metadata"]["annotations"][SWAP_ANNOTATION]
    half = restore(swapped).workload
    metadata = half.get("metadata") or {}
    half["metadata"] = {**metadata, "annotations": {**(metadata.get("annotations") or {}), SWAP_ANNOTATION: record}}
    assert not taken_back(swapped)
    assert taken_back(half)
    assert not taken_back(restore(half).workload)


@some
@given(swaps())
def test_defaults_do_not_matter(case: tuple[Workload, SwapPlan]) -> None:
    """The API server adds keys to objects that the swap wrote."""
    workload, plan = case
    swapped = swap(workload, plan)
    app = container(swapped, plan)
    app["readinessProbe"]["initialDelaySeconds"] = 0
    app["readinessProbe"]["httpGet"]["host"] = ""
    swapped["spec"]["template"]["spec"]["volumes"][-1]["projected"]["sources"][0]["secret"]["optional"] = False
    app["volumeMounts"][-1]["recursiveReadOnly"] = "Disabled"
    assert same(restore(swapped).workload, workload)


Edit = tuple[str, Any]
elsewhere = st.lists(
    st.one_of(
        st.tuples(st.just("replicas"), st.integers(4, 9)),
        st.tuples(st.just("label"), texts),
        st.tuples(st.just("env"), texts),
        st.tuples(st.just("annotation"), texts),
        st.tuples(st.just("template annotation"), texts),
        st.tuples(st.just("volume"), names),
        st.tuples(st.just("container"), texts),
        st.tuples(st.just("reorder"), st.none()),
    ),
    max_size=6,
)


def container(workload: Workload, plan: SwapPlan) -> dict[str, Any]:
    [found] = [item for item in workload["spec"]["template"]["spec"]["containers"] if item["name"] == plan.container]
    return found  # type: ignore[no-any-return]


def edit(workload: Workload, plan: SwapPlan, edits: list[Edit]) -> Workload:
    """What somebody else does to fields the swap doesn't write."""
    edited = copy.deepcopy(workload)
    template = edited["spec"]["template"]
    for what, value in edits:
        if what == "replicas":
            edited["spec"]["replicas"] = value
        elif what == "label":
            edited.setdefault("metadata", {})["labels"] = {"their": value}
        elif what == "env":
            container(edited, plan)["env"] = [{"name": "THEIR", "value": value}]
        elif what == "annotation":
            metadata = edited.setdefault("metadata", {})
            metadata["annotations"] = {**(metadata.get("annotations") or {}), "their": value}
        elif what == "template annotation":
            template["metadata"] = template.get("metadata") or {}
            template["metadata"]["annotations"] = {**(template["metadata"].get("annotations") or {}), "their": value}
        elif what == "volume":
            volumes = template["spec"].get("volumes") or []
            template["spec"]["volumes"] = [{"name": "their-" + value, "emptyDir": {}}, *volumes]
        elif what == "container":
            template["spec"]["containers"].insert(0, {"name": "their-sidecar", "image": value})
        else:
            template["spec"]["containers"].reverse()
    return edited


@some
@given(swaps(), elsewhere)
def test_edits_elsewhere_stay(case: tuple[Workload, SwapPlan], edits: list[Edit]) -> None:
    workload, plan = case
    restored, kept = restore(edit(swap(workload, plan), plan, edits))
    assert same(restored, edit(workload, plan, edits))
    assert kept == []


@some
@given(swaps(), texts)
def test_their_command_stays(case: tuple[Workload, SwapPlan], theirs: str) -> None:
    workload, plan = case
    swapped = swap(workload, plan)
    container(swapped, plan)["command"] = ["theirs", theirs]
    restored, kept = restore(swapped)
    expected = copy.deepcopy(workload)
    container(expected, plan)["command"] = ["theirs", theirs]
    assert same(restored, expected)
    assert kept == [f"spec.template.spec.containers[{plan.container}].command"]


def test_their_new_image_stays() -> None:
    plan = SwapPlan(**{**PLAN.__dict__, "image": "python:3.13-slim"})
    swapped = swap(deployment({"args": ["-v"]}), plan)
    app_of(swapped)["image"] = "shop/orders:2"
    restored, kept = restore(swapped)
    assert restored == deployment({"args": ["-v"], "image": "shop/orders:2"})
    assert kept == ["spec.template.spec.containers[app].image"]


def test_their_args_stay() -> None:
    swapped = swap(deployment({"args": ["-v"]}), PLAN)
    app_of(swapped)["args"] = ["--new"]
    assert app_of(restore(swapped).workload)["args"] == ["--new"]


def test_put_back_by_others() -> None:
    """A GitOps owner that heals the template leaves nothing to keep."""
    workload = deployment({"command": ["serve"], "readinessProbe": {"tcpSocket": {"port": 1}}})
    healed = copy.deepcopy(workload)
    healed["metadata"]["annotations"] = {
        SWAP_ANNOTATION: swap(workload, PLAN)["metadata"]["annotations"][SWAP_ANNOTATION]
    }
    assert restore(healed) == (workload, [])


def test_removed_container_is_told() -> None:
    swapped = swap(deployment({"command": ["serve"]}), PLAN)
    del swapped["spec"]["template"]["spec"]["containers"][0]
    restored, kept = restore(swapped)
    assert restored["spec"]["template"]["spec"] == {"containers": [{"name": "other"}]}
    assert kept == ["spec.template.spec.containers[app].command"]


def test_other_sessions_swap_stays() -> None:
    swapped = swap(deployment({}), PLAN)
    assert restore(swapped, "somebody-else") == (swapped, [])
    assert restore(swapped, PLAN.session) == (deployment({}), [])


def test_plain_workload_comes_back_equal() -> None:
    assert restore(deployment({})) == (deployment({}), [])
