"""The app's own command, for an agent that may have to become the app again (`agent/in_place.py`); `session` asks. Pure.

What the template says is taken from there, and expanded in the pod. Where the image says it, nobody can read that over the
API: then it is what process 1 of a running container was last executed with, with the variables that an entrypoint added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interceptor.workload.inspect import PodFacts

Object = dict[str, Any]


def own_command(workload: Object, container: str, facts: PodFacts) -> Object | None:
    """The agent's `app`, as docs/architecture.md shows it; None where nothing tells what to run."""
    spec = workload["spec"]["template"]["spec"]
    chosen = next(item for item in spec["containers"] if item["name"] == container)
    ready = _ready(chosen)
    if chosen.get("command"):
        argv = [*chosen["command"], *(chosen.get("args") or [])]
        return {"argv": argv, "expand": True, "environ": {}, "cwd": None, "ready": ready}
    first = facts.first
    if first is None or not first.argv or spec.get("shareProcessNamespace") or spec.get("hostPID"):
        return None  # process 1 is then not the container's
    known = facts.environ or {}
    added = {name: value for name, value in first.environ.items() if known.get(name) != value}
    return {"argv": list(first.argv), "expand": False, "environ": added, "cwd": first.cwd, "ready": ready}


def _ready(container: Object) -> Object:
    """Where the app's own readiness probe asks; empty for kinds that only the kubelet can send."""
    probe = container.get("readinessProbe") or {}
    http, tcp = probe.get("httpGet"), probe.get("tcpSocket")
    if http and http.get("scheme", "HTTP") == "HTTP" and not http.get("host"):
        port = _number(container, http.get("port"))
        return {"port": port, "path": http.get("path") or "/"} if port else {}
    port = _number(container, tcp.get("port")) if tcp else None
    return {"port": port} if port else {}


def _number(container: Object, port: Any) -> int | None:
    if isinstance(port, int):
        return port
    for declared in container.get("ports") or []:
        if declared.get("name") == port:
            return int(declared["containerPort"])
    return int(port) if isinstance(port, str) and port.isdigit() else None
