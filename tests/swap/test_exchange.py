"""Pods exchanged by hand: one after the other, and never fewer that serve than there can be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.swap.exchange import Next, by_hand, next_pod, waits_for_unready, wanted
from tests.swap.workloads import some

Object = dict[str, Any]


def workload(kind: str, replicas: int = 2, **spec: Any) -> Object:
    if kind == "DaemonSet":
        return {"kind": kind, "spec": spec, "status": {"desiredNumberScheduled": replicas}}
    return {"kind": kind, "spec": {"replicas": replicas, **spec}}


ON_DELETE: dict[str, Any] = {"updateStrategy": {"type": "OnDelete"}}
BY_HAND = [workload("ReplicaSet"), workload("StatefulSet", **ON_DELETE), workload("DaemonSet", **ON_DELETE)]


def pod(name: str, *, old: bool = True, ready: bool = True, ending: bool = False) -> Object:
    metadata: Object = {"name": name, "uid": f"{name}-{old}", "annotations": {"old": "yes"} if old else {}}
    if ending:
        metadata["deletionTimestamp"] = "2026-11-23T08:00:00Z"
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}


def is_old(one: Object) -> bool:
    return "old" in one["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("found", "hand"),
    [
        (workload("Deployment"), False),
        (workload("StatefulSet"), False),
        (workload("DaemonSet", updateStrategy={"type": "RollingUpdate"}), False),
        *((one, True) for one in BY_HAND),
    ],
)
def test_who_exchanges_pods(found: Object, hand: bool) -> None:
    assert by_hand(found) == hand


def test_only_ordered_sets_wait() -> None:
    assert waits_for_unready(workload("StatefulSet"))
    assert not waits_for_unready(workload("StatefulSet", podManagementPolicy="Parallel"))
    assert not waits_for_unready(workload("DaemonSet"))


def test_number_of_pods() -> None:
    assert wanted({"kind": "ReplicaSet", "spec": {}}) == 1
    assert wanted(workload("ReplicaSet", 0)) == 0
    assert wanted(workload("DaemonSet", 3)) == 3


@some
@given(st.sampled_from(["ReplicaSet", "StatefulSet", "DaemonSet"]), st.integers(0, 12))
def test_exchange_ends_with_one_missing_at_most(kind: str, replicas: int) -> None:
    """A controller that makes a new pod for each that goes, and a kubelet that makes it ready a while later."""
    found = workload(kind, replicas, **ON_DELETE)
    pods = {f"web-{n}": pod(f"web-{n}") for n in range(replicas)}
    gone: list[str] = []
    for _ in range(3 * replicas + 1):
        assert sum(one["status"]["conditions"][0]["status"] == "True" for one in pods.values()) >= replicas - 1
        step = next_pod(found, pods.values(), is_old)
        if step.done:
            break
        if step.pod is not None:
            name = step.pod["metadata"]["name"]
            gone.append(name)
            pods[name] = pod(name, old=False, ready=False)
        else:
            for name, one in pods.items():
                if not is_old(one):
                    pods[name] = pod(name, old=False)
    assert not any(map(is_old, pods.values()))
    assert gone == [f"web-{n}" for n in reversed(range(replicas))]


@pytest.mark.parametrize("found", BY_HAND)
def test_pod_that_serves_nobody_goes_first(found: Object) -> None:
    pods = [pod("web-1"), pod("web-0", ready=False)]
    assert next_pod(found, pods, is_old).pod is pods[1]


@pytest.mark.parametrize("found", BY_HAND)
def test_waits_while_one_is_missing(found: Object) -> None:
    assert next_pod(found, [pod("web-0")], is_old) == Next(None, done=False)
    assert next_pod(found, [pod("web-0"), pod("web-1", ending=True)], is_old) == Next(None, done=False)
    assert next_pod(found, [pod("web-0"), pod("web-1", old=False, ready=False)], is_old) == Next(None, done=False)


def test_hurry_waits_for_nobody() -> None:
    pods = [pod("web-0"), pod("web-1", old=False, ready=False)]
    assert next_pod(BY_HAND[0], pods, is_old, hurry=True).pod is pods[0]


def test_done_when_the_new_ones_serve() -> None:
    new = [pod("web-0", old=False), pod("web-1", old=False, ready=False)]
    assert next_pod(BY_HAND[1], new, is_old) == Next(None, done=False)
    assert next_pod(BY_HAND[1], [pod("web-0", old=False), pod("web-1", old=False)], is_old) == Next(None, done=True)


def test_controllers_are_helped_only_where_they_wait() -> None:
    pods = [pod("web-0"), pod("web-1", ready=False)]
    assert next_pod(workload("StatefulSet"), pods, is_old).pod is pods[1]
    assert next_pod(workload("StatefulSet"), pods[:1], is_old) == Next(None, done=False)
    assert next_pod(workload("StatefulSet", podManagementPolicy="Parallel"), pods, is_old) == Next(None, done=True)
    assert next_pod(workload("Deployment"), pods, is_old) == Next(None, done=True)
