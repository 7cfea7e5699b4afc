"""Reading pods and rollouts."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.workload.kinds import DEPLOYMENT, WorkloadRef
from interceptor.workload.rollout import session_of, unfinished
from interceptor.workload.selectors import pods_query, selects
from interceptor.workload.trouble import creation_trouble, own_words, pod_trouble

REF = WorkloadRef(DEPLOYMENT, "shop", "orders")


@pytest.mark.parametrize(
    ("status", "waits_for"),
    [
        ({"observedGeneration": 1}, "the cluster has not seen the change yet"),
        ({"updatedReplicas": 1, "replicas": 3}, "1 of 2 new pods exist"),
        ({"updatedReplicas": 2, "replicas": 3}, "1 old pods are left"),
        ({"updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}, "1 of 2 new pods are available"),
        ({"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}, None),
    ],
)
def test_what_a_rollout_waits_for(status: dict[str, Any], waits_for: str | None) -> None:
    deployment = {
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, **status},
    }
    assert unfinished(deployment) == waits_for


def pod(state: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "orders-1", "uid": "u"},
        "status": {"containerStatuses": [{"name": "app", "state": state, "restartCount": 2}], **status},
    }


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("ErrImagePull", "image"),
        ("ImagePullBackOff", "image"),
        ("InvalidImageName", "image"),
        ("CrashLoopBackOff", "crash"),
    ],
)
def test_waiting_container_is_trouble(reason: str, kind: str) -> None:
    [trouble] = pod_trouble(pod({"waiting": {"reason": reason, "message": "why"}}))
    assert trouble.kind == kind
    assert trouble.subject == "pod/orders-1"


def warning(message: str, at: int) -> dict[str, Any]:
    return {"reason": "FailedMount", "message": message, "lastTimestamp": f"2026-11-23T20:00:{at:02}Z"}


def test_hasty_kubelet_has_a_minute() -> None:
    """What a busy node's kubelet gives up and does a moment later is no reason, unless nothing comes of it."""
    first, then = pod_trouble(pod({"waiting": {"reason": "ContainerCreating"}}))
    assert (first.patience, then.patience) == (15.0, 60.0)
    late = (
        'MountVolume.SetUp failed for volume "agent" : failed to sync secret cache: timed out waiting for the condition'
    )
    missing = 'MountVolume.SetUp failed for volume "files" : configmap "files" not found'
    assert own_words(first, []) == own_words(then, []) == ""
    assert own_words(first, [warning(late, 2)]) == ""
    assert own_words(then, [warning(late, 2)]) == late
    assert own_words(first, [warning(missing, 1), warning(late, 2)]) == missing


def test_unschedulable_is_trouble() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    [trouble] = pod_trouble({"metadata": {"name": "p", "uid": "u"}, "status": {"conditions": [condition]}})
    assert trouble.text == "0/1 nodes"


def test_session_of_a_pod() -> None:
    assert session_of({"metadata": {"annotations": {"interceptor/session": "orders-x7f2q"}}}) == "orders-x7f2q"
    assert session_of({"metadata": {}}) is None


def test_healthy_pod_is_none() -> None:
    assert list(pod_trouble(pod({"running": {}}, phase="Running"))) == []


def test_refused_pods_are_trouble() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    [trouble] = creation_trouble(REF, {"metadata": {"name": "orders"}, "status": {"conditions": [condition]}})
    assert (trouble.subject, trouble.text) == ("deploy/orders", "exceeded quota")


def test_selector_as_query() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "env", "operator": "NotIn", "values": ["dev"]},
        {"key": "x", "operator": "Exists"},
        {"key": "y", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"app": "orders"}, "matchExpressions": expressions}
    assert pods_query({"spec": {"selector": selector}}) == "app=orders,tier in (a,b),env notin (dev),x,!y"


def test_empty_selector_selects_nothing() -> None:
    workload = {"spec": {"template": {"metadata": {"labels": {"app": "orders"}}}}}
    assert selects({"app": "orders"}, workload)
    assert not selects({"app": "orders", "x": "y"}, workload)
    assert not selects({}, workload)
