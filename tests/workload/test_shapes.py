"""What is refused or told because of a workload's kind and the shape of its pods."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.workload.preflight import Findings
from interceptor.workload.shapes import judge, judge_pods, quantity

Object = dict[str, Any]


def workload(kind: str, replicas: int = 2, pod: Object | None = None, app: Object | None = None, **spec: Any) -> Object:
    template = {"spec": {"containers": [{"name": "app", "image": "shop:1", **(app or {})}], **(pod or {})}}
    found: Object = {"kind": kind, "metadata": {"name": "web"}, "spec": {"template": template, **spec}}
    found["status"] = {"updatedReplicas": replicas}
    if kind != "DaemonSet":
        found["spec"]["replicas"] = replicas
    return found


def rolling(**values: Any) -> Object:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": values}}


def errors(findings: Findings) -> str:
    return "; ".join(f"{error.message} ({error.hint})" for error in findings.errors)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet"])
def test_usual_pods_need_no_word(kind: str) -> None:
    assert judge(workload(kind), "app") == Findings()


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        ({"hostNetwork": True}, "the agent's ports would be the node's"),
        ({"os": {"name": "windows"}}, "run on Windows"),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, "run on Windows"),
    ],
)
def test_pods_that_the_agent_cannot_run_in(pod: Object, reason: str) -> None:
    assert reason in errors(judge(workload("Deployment", pod=pod), "app"))


def test_partition_leaves_pods_alone() -> None:
    [note] = judge(workload("StatefulSet", 4, **rolling(partition=2)), "app").notes
    assert note == "partition 2: web-0 to web-1 stay as they are and go on answering in the cluster"
    assert "updates none of its 2 pods" in errors(judge(workload("StatefulSet", 2, **rolling(partition=2)), "app"))
    assert judge(workload("StatefulSet", 2, **rolling(partition=0)), "app") == Findings()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (workload("StatefulSet", 1), True),
        (workload("DaemonSet"), True),
        (workload("DaemonSet", updateStrategy={"type": "OnDelete"}), True),
        (workload("DaemonSet", **rolling(maxSurge=1, maxUnavailable=0)), False),
        (workload("ReplicaSet", 1), False),
    ],
)
def test_gap_is_told(found: Object, told: bool) -> None:
    assert any("no pod answers for a moment" in note for note in judge(found, "app").notes) == told


def test_host_port_is_told() -> None:
    found = judge(workload("Deployment", app={"ports": [{"containerPort": 80, "hostPort": 8080}]}), "app")
    assert "8080" in found.notes[0]
    assert not found.errors


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": {"phase": "Succeeded"}}, "is over"),
        ({"metadata": {"name": "web", "deletionTimestamp": "now"}}, "is being deleted"),
        ({"metadata": {"name": "web", "finalizers": ["a/b"]}}, "finalizers"),
    ],
)
def test_bare_pods_that_would_not_come_back(change: Object, reason: str) -> None:
    assert reason in errors(judge({**workload("Pod"), **change}, "app"))


def test_bare_pod_with_a_host_port_is_refused() -> None:
    found = judge(workload("Pod", app={"ports": [{"containerPort": 80, "hostPort": 80}]}), "app")
    assert "nothing would be left to bring it back" in errors(found)
    assert "created anew" in judge(workload("Pod"), "app").notes[0]


@pytest.mark.parametrize(("limit", "told"), [("32Mi", True), ("40M", True), ("64Mi", False), ("1G", False)])
def test_little_memory_is_told(limit: str, told: bool) -> None:
    found = workload("Deployment", app={"resources": {"limits": {"memory": limit}}})
    assert bool(judge(found, "app").notes) == told


@pytest.mark.parametrize(
    ("text", "value"), [("64Mi", 2**26), ("1k", 1000), ("500m", 0.5), ("7", 7), ("1e3", 1000), (3, 3)]
)
def test_quantities(text: str | int, value: float) -> None:
    assert quantity(text) == value


def pod(name: str, mark: str, ready: bool = True) -> Object:
    return {
        "metadata": {"name": name, "labels": {"controller-revision-hash": mark}},
        "spec": {"containers": [{"name": "app", "image": "shop:1"}]},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def test_ordered_set_with_a_broken_pod_is_refused() -> None:
    """Its controller would wait for that one for ever, and so would we."""
    pods = [pod("web-0", ""), pod("web-1", "", ready=False)]
    assert "web-1 of sts/web not ready" in errors(judge_pods(workload("StatefulSet"), "", pods))
    assert judge_pods(workload("StatefulSet", podManagementPolicy="Parallel"), "", pods) == Findings()
    rolling_now = {**workload("StatefulSet"), "status": {"updatedReplicas": 1}}
    assert not judge_pods(rolling_now, "", pods).errors  # it is waited for


def test_rollout_under_way_is_waited_for() -> None:
    rolling_now = judge(
        {**workload("DaemonSet", **rolling(maxSurge=1)), "status": {"desiredNumberScheduled": 2}}, "app"
    )
    assert rolling_now.rolling
    assert "under way" in rolling_now.notes[0]
    assert judge({**workload("StatefulSet"), "status": {"updatedReplicas": 1}}, "app").rolling


def test_older_pods_are_left_alone() -> None:
    found = workload("StatefulSet", updateStrategy={"type": "OnDelete"})
    assert judge_pods(found, "web-2", [pod("web-0", "web-2"), pod("web-1", "web-2")]) == Findings()
    [note] = judge_pods(found, "web-2", [pod("web-0", "web-1"), pod("web-1", "web-2")]).notes
    assert note == "left alone, for they run an older template: web-0"
    assert "delete them" in errors(judge_pods(found, "web-2", [pod("web-0", "web-1")]))
    assert judge_pods(workload("StatefulSet"), "", [pod("web-0", "web-1")]) == Findings()


def test_replica_sets_pods_are_told_apart_by_what_they_run() -> None:
    found = workload("ReplicaSet", app={"env": [{"name": "A", "value": "1"}]})
    same, other = pod("web-a", ""), pod("web-b", "")
    for one in (same, other):
        one["spec"]["containers"] = [
            {"name": "mesh"},
            {**found["spec"]["template"]["spec"]["containers"][0], "tty": False},
        ]
    other["spec"]["containers"][1]["image"] = "shop:0"
    assert judge_pods(found, "", [same, other]).notes == ["left alone, for they run an older template: web-b"]
