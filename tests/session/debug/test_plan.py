"""Which pods are looked into, and the words for those that can't be."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.errors import InterceptorError
from interceptor.session.debug.options import DebugOptions
from interceptor.session.debug.plan import MOST_PODS, choose


def pod(name: str, *, ready: bool = True, phase: str = "Running", created: str = "2026-01-01") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {"nodeName": "n1", "containers": [{"name": "app"}]},
        "status": {"phase": phase, "conditions": conditions},
    }


def names(pods: list[dict[str, Any]], **options: Any) -> list[str]:
    chosen, _ = choose("deploy/web", pods, DebugOptions("deploy/web", **options))
    return [one["metadata"]["name"] for one in chosen]


def test_shell_gets_a_ready_pod() -> None:
    assert names([pod("a", ready=False), pod("b", created="2026-01-02"), pod("c")]) == ["c"]


def test_capture_gets_every_running_pod() -> None:
    pods = [pod("a", ready=False), pod("b"), pod("c", phase="Succeeded")]
    chosen, notes = choose("deploy/web", pods, DebugOptions("deploy/web", "capture"))
    assert len(chosen) == 2
    assert notes == ["not looked at, because they do not run: c"]
    assert names(pods, errand="capture", pod="a") == ["a"]


def test_many_pods_need_a_choice() -> None:
    with pytest.raises(InterceptorError, match="stay in the spec of each"):
        names([pod(f"p{n}") for n in range(MOST_PODS + 1)], errand="connections")


def test_ended_pod_is_copied_only() -> None:
    with pytest.raises(InterceptorError, match="has ended") as error:
        names([pod("a", phase="Failed")])
    assert "--copy" in error.value.hint
    assert names([pod("a", phase="Failed")], way="copy") == ["a"]


def test_unknown_pod_is_told_with_the_others() -> None:
    with pytest.raises(InterceptorError, match="no pod 'x'") as error:
        names([pod("a"), pod("b")], pod="x")
    assert "a, b" in error.value.hint
    with pytest.raises(InterceptorError, match="has no pods"):
        names([])
