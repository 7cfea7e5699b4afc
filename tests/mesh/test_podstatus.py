"""A pod's state in kubectl's words."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.mesh.podstatus import pod_status

Object = dict[str, Any]


def pod(
    phase: str = "Running", *, init: list[Object] | None = None, app: Object | None = None, **status: Any
) -> Object:
    sidecar = {"name": "linkerd-proxy", "restartPolicy": "Always"}
    return {
        "metadata": {"name": "x"},
        "spec": {"initContainers": [{"name": "linkerd-init"}, sidecar], "containers": [{"name": "app"}]},
        "status": {
            "phase": phase,
            "initContainerStatuses": init or [],
            "containerStatuses": [app] if app else [],
            **status,
        },
    }


DONE = {"name": "linkerd-init", "state": {"terminated": {"exitCode": 0}}}
UP = {"name": "linkerd-proxy", "state": {"running": {}}, "started": True, "ready": True}
APP = {"name": "app", "state": {"running": {}}, "ready": True}


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (pod(init=[DONE, UP], app=APP), "Running"),
        (pod(init=[DONE, {**UP, "ready": False}], app=APP), "Init:1/2"),
        (pod("Pending", init=[{"name": "linkerd-init", "state": {"waiting": {"reason": "PodInitializing"}}}]), "Init:0/2"),
        (pod("Pending", init=[{"name": "linkerd-init", "state": {"terminated": {"exitCode": 2}}}]), "Init:ExitCode:2"),
        (pod("Pending", init=[DONE, {**UP, "started": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]),
         "Init:CrashLoopBackOff"),
        (pod(init=[DONE, UP], app={"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff"}}}),
         "ImagePullBackOff"),
        (pod("Succeeded", init=[DONE, UP], app={"name": "app", "state": {"terminated": {"reason": "Completed"}}}),
         "Completed"),
        (pod("Failed", init=[DONE, UP], app={"name": "app", "state": {"terminated": {"signal": 9}}}), "Signal:9"),
        (pod("Failed", reason="Evicted"), "Evicted"),
        ({**pod(), "metadata": {"name": "x", "deletionTimestamp": "now"}}, "Terminating"),
    ],
)  # fmt: skip
def test_words(found: Object, word: str) -> None:
    assert pod_status(found) == word
