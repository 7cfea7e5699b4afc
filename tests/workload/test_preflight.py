"""What stands in the way, and what is only worth knowing."""

from __future__ import annotations

from typing import Any

from interceptor.swap import AlreadySwapped, swap
from interceptor.workload.preflight import judge
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


def test_broken_app_may_be_intercepted() -> None:
    findings = judge(deployment({"availableReplicas": 1}))
    assert (findings.errors, findings.rolling) == ([], False)
    assert findings.notes == ["only 1 of 2 pods of deploy/orders are available"]


def test_downtime_is_told() -> None:
    assert "strategy Recreate" in judge(deployment(strategy={"type": "Recreate"})).notes[0]
    for unavailable in (2, "100%"):
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable}}
        assert "lets all pods go at once" in judge(deployment(strategy=rolling)).notes[0]
    assert judge(deployment(strategy={"rollingUpdate": {"maxUnavailable": "50%"}})).notes == []


def test_autoscaler_is_told() -> None:
    def autoscaler(name: str) -> dict[str, Any]:
        aim = {"kind": "Deployment", "name": name}
        return {"metadata": {"name": "scaler"}, "spec": {"scaleTargetRef": aim}}

    assert judge(deployment(), [autoscaler("web")]).notes == []
    assert "autoscaler scaler" in judge(deployment(), [autoscaler("orders")]).notes[0]


def test_owners_are_told() -> None:
    marks = {
        "Argo CD": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}},
        "Flux": {"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}},
        "Helm release web": {"annotations": {"meta.helm.sh/release-name": "web"}},
    }
    for owner, metadata in marks.items():
        workload = deployment()
        workload["metadata"].update(metadata)
        assert owner in judge(workload).notes[0]
