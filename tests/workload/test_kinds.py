"""Kinds as values: where the swap is, what people type, which pods belong to it."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.kube import resources
from interceptor.workload.kinds import (
    DAEMON_SET,
    DEPLOYMENT,
    KINDS,
    POD,
    STATEFUL_SET,
    WorkloadRef,
    kind_for,
    ref_of,
    replicas_of,
    title_of,
)
from interceptor.workload.missing import unsupported
from interceptor.workload.objects import SessionNames, role
from interceptor.workload.podlist import PodQuery, queries
from interceptor.workload.rollout import unfinished

Object = dict[str, Any]


def test_swap_of_a_bare_pod_is_on_its_stand_in() -> None:
    ref = WorkloadRef(POD, "shop", "solo", "solo-x7f2q")
    assert (ref.resource, ref.object, ref.title) == (resources.REPLICA_SETS, "interceptor-solo-x7f2q", "pod/solo")
    for kind in KINDS:
        if kind is not POD:
            assert WorkloadRef(kind, "shop", "web", "s").object == "web"


def test_titles_are_what_people_type() -> None:
    names = [title_of({"kind": kind.resource.kind, "metadata": {"name": "web"}}) for kind in KINDS]
    assert names == ["deploy/web", "sts/web", "ds/web", "rs/web", "pod/web"]
    assert ref_of({"kind": "DaemonSet", "metadata": {"name": "log"}}, "shop") == WorkloadRef(DAEMON_SET, "shop", "log")
    assert kind_for(resources.JOBS) is None


def test_number_of_pods() -> None:
    assert replicas_of({"kind": "DaemonSet", "spec": {}, "status": {"desiredNumberScheduled": 3}}) == 3
    assert replicas_of({"kind": "StatefulSet", "spec": {"replicas": 0}}) == 0
    assert replicas_of({"kind": "Deployment", "spec": {}}) == 1


def test_pods_are_found_by_selector_or_name() -> None:
    workload = {"spec": {"selector": {"matchLabels": {"app": "web"}}}}
    assert queries(WorkloadRef(STATEFUL_SET, "shop", "web", "s"), workload) == (PodQuery(label="app=web"),)
    itself, agents = queries(WorkloadRef(POD, "shop", "solo", "s"), {})
    assert (itself.field, agents.label) == ("metadata.name=solo", "interceptor/session=s")
    assert queries(WorkloadRef(POD, "shop", "solo"), {}) == (itself,)
    assert agents.url == "labelSelector=interceptor%2Fsession%3Ds"


def pod_rules(kind: str, workload: Object) -> list[Object]:
    names = SessionNames("web-x", "shop", "web", next(one for one in KINDS if one.resource.kind == kind))
    rules = role(names, {}, {"kind": kind, **workload})["rules"]
    return [rule for rule in rules if rule["resources"] == ["pods"] and rule["verbs"] != ["list"]]


def test_agents_may_touch_pods_only_where_they_must() -> None:
    on_delete = {"updateStrategy": {"type": "OnDelete"}}
    assert pod_rules("Deployment", {"spec": {}}) == []
    assert pod_rules("StatefulSet", {"spec": {"replicas": 2}}) == []
    [rule] = pod_rules("StatefulSet", {"spec": {"replicas": 2, "ordinals": {"start": 5}, **on_delete}})
    assert (rule["verbs"], rule["resourceNames"][:3]) == (["delete"], ["web-5", "web-6", "web-7"])
    [rule] = pod_rules("ReplicaSet", {"spec": {}})
    assert (rule["verbs"], "resourceNames" in rule) == (["delete"], False)
    [rule] = pod_rules("Pod", {"spec": {}})
    assert rule["verbs"] == ["create"]


def stateful(partition: int = 0, **status: Any) -> Object:
    strategy = {"rollingUpdate": {"partition": partition}}
    seen = {"observedGeneration": 1, "currentRevision": "b", "updateRevision": "b", **status}
    return {
        "kind": "StatefulSet",
        "metadata": {"generation": 1},
        "spec": {"replicas": 3, "updateStrategy": strategy},
        "status": seen,
    }


def daemon(**status: Any) -> Object:
    seen = {"observedGeneration": 1, "desiredNumberScheduled": 2, **status}
    return {"kind": "DaemonSet", "metadata": {"generation": 1}, "spec": {}, "status": seen}


@pytest.mark.parametrize(
    ("found", "waits_for"),
    [
        (stateful(updatedReplicas=1, availableReplicas=3), "1 of 3 new pods exist"),
        (stateful(updatedReplicas=3, availableReplicas=2), "2 of 3 pods are available"),
        (
            stateful(updatedReplicas=3, availableReplicas=3, currentRevision="a"),
            "the cluster has not closed the rollout",
        ),
        (stateful(updatedReplicas=3, availableReplicas=3), None),
        (stateful(2, updatedReplicas=1, availableReplicas=3, currentRevision="a"), None),
        (stateful(observedGeneration=0), "the cluster has not seen the change yet"),
        (daemon(updatedNumberScheduled=1), "1 of 2 new pods exist"),
        (daemon(updatedNumberScheduled=2, numberAvailable=1), "1 of 2 new pods are available"),
        (daemon(updatedNumberScheduled=2, numberAvailable=2), None),
    ],
)
def test_what_a_rollout_waits_for(found: Object, waits_for: str | None) -> None:
    told = unfinished(found)
    assert told is waits_for if waits_for is None else (told or "").startswith(waits_for)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (unsupported("Job", "task"), "Job task can't be intercepted: its pods do their work and end"),
        (
            unsupported("Rollout", "web", "argoproj.io/v1alpha1", "pod/web-1"),
            "pod/web-1 belongs to Rollout web (argoproj.io/v1alpha1), which can't be intercepted",
        ),
        (unsupported("Node", "n1", "v1", "pod/etcd-n1"), "a static pod"),
        (unsupported("Job", "x", "batch.volcano.sh/v1alpha1"), "a kind that interceptor does not know"),
    ],
)
def test_refusals_say_why_and_what_next(error: Any, words: str) -> None:
    assert words in error.message
    assert error.hint


def test_deployment_is_the_default() -> None:
    assert SessionNames("s", "shop", "web").ref == WorkloadRef(DEPLOYMENT, "shop", "web", "s")
