"""A pod's state in one word, as `kubectl get pod` shows it; the checks of proxies and workloads judge by it."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def pod_status(pod: Object) -> str:
    """`Running`, `Completed`, `CrashLoopBackOff`, `Init:1/2`, `Terminating`: the printer's rules, in its order."""
    status = pod.get("status") or {}
    word = status.get("reason") or status.get("phase") or "Unknown"
    word = _starting(pod) or _containers(status, word)
    if "deletionTimestamp" in pod["metadata"]:
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(word)


def _starting(pod: Object) -> str:
    """What the first init container that is not through says, empty when all are."""
    status = pod.get("status") or {}
    specs = {item["name"]: item for item in pod["spec"].get("initContainers") or []}
    states = status.get("initContainerStatuses") or []
    for index, item in enumerate(states):
        state = item.get("state") or {}
        ended = state.get("terminated") or {}
        sidecar = specs.get(item["name"], {}).get("restartPolicy") == "Always"
        if (ended and ended.get("exitCode") == 0) or (sidecar and item.get("started") and item.get("ready")):
            continue
        if ended:
            return "Init:" + (ended.get("reason") or f"ExitCode:{ended.get('exitCode')}")
        waiting = (state.get("waiting") or {}).get("reason", "")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{index}/{len(specs)}"
    return ""


def _containers(status: Object, word: str) -> str:
    running = False
    for item in reversed(status.get("containerStatuses") or []):
        state = item.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason"):
            word = waiting["reason"]
        elif ended:
            word = ended.get("reason") or (
                f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode')}"
            )
        elif item.get("ready") and "running" in state:
            running = True
    if word == "Completed" and running:
        ready = any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in status.get("conditions") or []
        )
        return "Running" if ready else "NotReady"
    return word
