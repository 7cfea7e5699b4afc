"""What stands in the way, and what is only worth knowing."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.swap import AlreadySwapped, swap
from interceptor.workload.preflight import Surroundings, judge
from tests.swap.test_template import PLAN


def deployment(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    complete = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
    return {
        "metadata": {"name": "orders", "namespace": "shop", "generation": 3},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "app"}]}}, **spec},
        "status": {
            "observedGeneration": 3,
            "replicas": 2,
            "availableReplicas": 2,
            "conditions": [complete],
            **(status or {}),
        },
    }


def progressing(reason: str, status: str = "True") -> dict[str, Any]:
    return {"conditions": [{"type": "Progressing", "status": status, "reason": reason, "message": "timed out"}]}


def test_healthy_is_silent() -> None:
    findings = judge(deployment())
    assert (findings.errors, findings.notes, findings.rolling) == ([], [], False)


def test_swapped_names_the_holder() -> None:
    [error] = judge(swap(deployment(), PLAN)).errors
    assert isinstance(error, AlreadySwapped)
    assert "ana@laptop since 2026" in str(error)


def test_paused() -> None:
    [error] = judge(deployment(paused=True)).errors
    assert str(error) == "deploy/orders is paused; let it go on: kubectl rollout resume deploy/orders -n shop"


def test_scaled_to_nothing() -> None:
    [error] = judge(deployment({"replicas": 0}, replicas=0)).errors
    assert "scaled to 0; kubectl scale deploy/orders --replicas=1 -n shop" in str(error)


def test_stuck_rollout() -> None:
    findings = judge(deployment(progressing("ProgressDeadlineExceeded", "False")))
    assert "stuck: timed out" in str(findings.errors[0])
    assert not findings.rolling


def test_rollout_under_way() -> None:
    for status in (progressing("ReplicaSetUpdated"), {"observedGeneration": 2}):
        findings = judge(deployment(status))
        assert findings.errors == []
        assert findings.rolling


def test_moment_without_pods_is_a_rollout() -> None:
    """`Recreate`: the old ones are ending; the Deployment's conditions still tell of the rollout before."""
    workload = deployment()
    for name in ("replicas", "updatedReplicas", "availableReplicas"):
        workload["status"].pop(name, None)
    assert judge(workload).rolling
    workload["status"]["conditions"].append({"type": "ReplicaFailure", "status": "True"})
    assert not judge(workload).rolling


def test_broken_app_may_be_intercepted() -> None:
    findings = judge(deployment({"availableReplicas": 1}))
    assert (findings.errors, findings.rolling) == ([], False)
    assert findings.notes == ["only 1 of 2 pods of deploy/orders are available"]


RECREATE = {"type": "Recreate"}


def pod(started: str, ready: str, status: str = "True") -> dict[str, Any]:
    condition = {"type": "Ready", "status": status, "lastTransitionTime": f"2026-11-23T08:00:{ready}Z"}
    return {"status": {"startTime": f"2026-11-23T08:00:{started}Z", "conditions": [condition]}}


def rolling(**how: Any) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": how}


def test_downtime_is_told() -> None:
    [note] = judge(deployment(strategy=RECREATE)).notes
    assert note == (
        "strategy Recreate: no pod answers at the start, for 2 s and what the pods need to end (at most 30 s), "
        "and at the end, until they are ready"
    )
    pods = [pod("01", "09"), pod("01", "05"), pod("01", "59", "False")]
    assert (
        "about 5 s until they are ready (as long as the last time)"
        in judge(deployment(strategy=RECREATE), pods=pods).notes[0]
    )


@pytest.mark.parametrize(
    ("how", "replicas", "told"),
    [
        ({"maxUnavailable": 2}, 2, True),
        ({"maxUnavailable": "100%"}, 2, True),
        ({"maxUnavailable": "50%"}, 2, False),
        ({"maxUnavailable": "25%", "maxSurge": "25%"}, 1, False),
        ({"maxUnavailable": "25%", "maxSurge": 0}, 1, True),  # both come to nothing: the API then takes one away
        ({"maxUnavailable": 0, "maxSurge": 1}, 1, False),
    ],
)
def test_all_pods_at_once_is_told(how: dict[str, Any], replicas: int, told: bool) -> None:
    notes = judge(deployment(strategy=rolling(**how), replicas=replicas)).notes
    assert ["lets all pods go at once" in note for note in notes] == [True] * told


def test_budget_matters_only_without_pods() -> None:
    """Rollouts don't ask disruption budgets: worth a word only where one promises what a rollout will not keep."""

    def budget(selector: dict[str, Any]) -> Surroundings:
        return Surroundings(budgets=[{"metadata": {"name": "two"}, "spec": {"selector": selector}}])

    labelled = deployment(strategy=RECREATE)
    labelled["spec"]["template"]["metadata"] = {"labels": {"app": "orders"}}
    ours = budget({"matchExpressions": [{"key": "app", "operator": "In", "values": ["orders"]}]})
    assert "a disruption budget (two) doesn't hold for rollouts" in judge(labelled, ours).notes[0]
    assert "budget" not in judge(labelled, budget({"matchLabels": {"app": "web"}})).notes[0]
    assert judge(deployment(), ours).notes == []


def test_slow_steps_are_told() -> None:
    assert "minReadySeconds 20" in judge(deployment(minReadySeconds=20)).notes[0]


def test_short_deadline_is_told() -> None:
    [note] = judge(deployment(progressDeadlineSeconds=8), hold=10).notes
    assert "--hold 6" in note
    assert judge(deployment(progressDeadlineSeconds=600), hold=10).notes == []


def test_autoscaler_is_told() -> None:
    def autoscaler(name: str) -> Surroundings:
        aim = {"kind": "Deployment", "name": name}
        spec = {"scaleTargetRef": aim, "minReplicas": 2, "maxReplicas": 9}
        return Surroundings(autoscalers=[{"metadata": {"name": "scaler"}, "spec": spec}])

    assert judge(deployment(), autoscaler("web")).notes == []
    assert "autoscaler scaler (2 to 9 pods)" in judge(deployment(), autoscaler("orders")).notes[0]


def test_blind_spots_are_told() -> None:
    unseen = Surroundings(unseen=["could not look at autoscalers: missing right list x"])
    assert judge(deployment(), unseen).notes == unseen.unseen


def test_deleted_workload_is_refused() -> None:
    workload = deployment()
    workload["metadata"]["deletionTimestamp"] = "2026-11-23T08:00:00Z"
    assert str(judge(workload).errors[0]) == "deploy/orders is being deleted"
