from __future__ import annotations

from typing import Any

import pytest

from interceptor.devcluster.control import rollout


def deploy(replicas: int, surge: Any = "25%", unavailable: Any = "25%", kind: str = "RollingUpdate") -> dict[str, Any]:
    strategy: dict[str, Any] = {"type": kind}
    if kind == "RollingUpdate":
        strategy["rollingUpdate"] = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"spec": {"replicas": replicas, "strategy": strategy}}


def replicas(name: str, wanted: int, available: int) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {"replicas": wanted}, "status": {"availableReplicas": available}}


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [(deploy(1), (1, 0)), (deploy(10), (3, 2)), (deploy(4, 0, 0), (0, 1)), (deploy(4, 2, "50%"), (2, 2))],
)
def test_parts_become_pods(deployment: dict[str, Any], expected: tuple[int, int]) -> None:
    assert rollout.surge_and_unavailable(deployment) == expected


def test_one_pod_waits_for_its_heir() -> None:
    old = [replicas("old", 1, 1)]
    assert rollout.new_size(deploy(1), replicas("new", 0, 0), old) == 1
    assert rollout.old_sizes(deploy(1), replicas("new", 1, 0), old) == {}
    assert rollout.old_sizes(deploy(1), replicas("new", 1, 1), old) == {"old": 0}


def test_unhealthy_old_go_first() -> None:
    old = [replicas("sick", 2, 0), replicas("well", 2, 2)]
    assert rollout.old_sizes(deploy(4, 1, 1), replicas("new", 1, 0), old) == {"sick": 1}


def test_surge_bounds_all_pods() -> None:
    assert rollout.new_size(deploy(4, 1, 0), replicas("new", 0, 0), [replicas("old", 4, 4)]) == 1
    assert rollout.new_size(deploy(4, 1, 0), replicas("new", 1, 0), [replicas("old", 4, 4)]) == 1


def test_recreate_takes_all_at_once() -> None:
    assert rollout.old_sizes(deploy(3, kind="Recreate"), replicas("new", 0, 0), [replicas("old", 3, 3)]) == {"old": 0}


def test_condition_times_move_with_status() -> None:
    status: dict[str, Any] = {}
    rollout.set_condition(status, "Available", "True", "A", "x")
    status["conditions"][0]["lastTransitionTime"] = "before"
    rollout.set_condition(status, "Available", "True", "B", "x")
    assert status["conditions"][0]["lastTransitionTime"] == "before"
    rollout.set_condition(status, "Available", "False", "C", "x")
    assert status["conditions"][0]["lastTransitionTime"] != "before"
