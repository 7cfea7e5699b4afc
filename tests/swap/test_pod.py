"""A bare pod comes back as it was given, from what its stand-in remembers."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from interceptor.errors import InterceptorError
from interceptor.swap import SESSION_ANNOTATION, SwapPlan, record_of, swap
from interceptor.swap.path import same
from interceptor.swap.pod import POD_ANNOTATION, carried, carrier, given, lift
from tests.swap.workloads import Workload, bare_pods, plans, some

OWNER = {"kind": "Job", "name": "interceptor-solo-x7f2q", "uid": "j"}


def living(pod: Workload, *, bound: bool = True) -> Workload:
    """The same once the cluster runs it."""
    alive = copy.deepcopy(pod)
    written: dict[str, Any] = {"f:spec": {"f:nodeName": {}}} if "nodeName" in pod["spec"] else {}
    note = "cni.projectcalico.org/podIP"
    alive["metadata"] |= {
        "uid": "u1",
        "resourceVersion": "42",
        "generation": 1,
        "creationTimestamp": "2026-11-23T08:00:00Z",
        "managedFields": [
            {"manager": "kubectl", "fieldsV1": written},
            {
                "manager": "plugin",
                "subresource": "status",
                "fieldsV1": {"f:metadata": {"f:annotations": {"f:net": {}, f"f:{note}": {}}}},
            },
        ],
        "annotations": {**pod["metadata"].get("annotations", {}), "net": "eth0", note: "10.0.0.1"},
    }
    if bound:
        alive["spec"].setdefault("nodeName", "node-7")
    alive["spec"]["ephemeralContainers"] = [{"name": "debugger"}]
    alive["status"] = {"phase": "Running", "podIP": "10.0.0.1"}
    return alive


@st.composite
def stood_in(draw: st.DrawFn) -> tuple[Workload, SwapPlan]:
    pod = draw(bare_pods())
    return pod, draw(plans(lift(pod)))


@some
@examples(bare_pods())
def test_given_forgets_what_the_cluster_added(pod: Workload) -> None:
    alive = living(pod)
    before = copy.deepcopy(alive)
    assert same(given(alive), pod)
    assert same(alive, before)
    assert same(given(pod), pod)


@some
@examples(stood_in())
def test_stand_in_remembers_the_pod(case: tuple[Workload, SwapPlan]) -> None:
    """Whatever somebody does to the stand-in meanwhile."""
    pod, plan = case
    made = carrier(swap(lift(living(pod)), plan), "interceptor-solo-x7f2q", {"a": "b"}, OWNER)
    made["metadata"]["labels"]["their"] = "label"
    made["metadata"]["annotations"]["their"] = "note"
    made["spec"]["replicas"] = 3
    made["spec"]["template"]["spec"]["containers"][0]["image"] = "theirs"
    back = carried(json.loads(json.dumps(made)))
    assert same(back, pod)
    record = record_of(made)
    assert record is not None
    assert (record.session, record.holder) == (plan.session, plan.holder)


@some
@examples(stood_in())
def test_stand_in_is_what_a_replica_set_allows(case: tuple[Workload, SwapPlan]) -> None:
    pod, plan = case
    made = carrier(swap(lift(living(pod)), plan), "interceptor-solo-x7f2q", {}, OWNER)
    template = made["spec"]["template"]
    assert template["spec"]["restartPolicy"] == "Always"
    assert not {"activeDeadlineSeconds", "ephemeralContainers"} & template["spec"].keys()
    assert template["spec"].get("nodeName") == pod["spec"].get("nodeName")
    selector = made["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["metadata"]["labels"].items()
    assert (pod["metadata"].get("labels") or {}).items() <= template["metadata"]["labels"].items()
    assert template["metadata"]["annotations"][SESSION_ANNOTATION] == plan.session
    host = template["spec"].get("hostname", "")
    assert len(host) <= 63
    assert host == pod["spec"].get("hostname", "" if "." in pod["metadata"]["name"] else pod["metadata"]["name"][:63])
    assert made["metadata"]["ownerReferences"] == [OWNER]


def test_other_replica_sets_stand_in_for_nothing() -> None:
    assert carried({"metadata": {"name": "web"}}) is None


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"metadata":{}}', '{"spec":{},"metadata":{"name":7}}'])
def test_damaged_memory_is_told(damaged: str) -> None:
    with pytest.raises(InterceptorError, match="was damaged") as caught:
        carried({"metadata": {"annotations": {POD_ANNOTATION: damaged}}})
    assert "manifest" in caught.value.hint


def test_somebodys_note_outlives_a_plugins() -> None:
    """An annotation that a plugin writes too stays if a person gave it."""
    pod: Workload = {
        "metadata": {"name": "solo", "annotations": {"net": "eth0"}},
        "spec": {"containers": [{"name": "app"}]},
    }
    fields: dict[str, Any] = {"f:metadata": {"f:annotations": {"f:net": {}}}}
    pod["metadata"]["managedFields"] = [{"fieldsV1": fields}, {"subresource": "status", "fieldsV1": fields}]
    assert given(pod)["metadata"]["annotations"] == {"net": "eth0"}
