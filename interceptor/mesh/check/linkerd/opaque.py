"""Opaque ports: a port that is opaque on the Service must be so on its pods, and the other way round; for `data_plane`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import PROXY, Scope, all_containers
from interceptor.mesh.check.model import PASSED, Failed, Verdict
from interceptor.workload.selectors import matches

Object = dict[str, Any]

ANNOTATION = "config.linkerd.io/opaque-ports"
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


async def judge(facts: Facts, scope: Scope) -> Verdict:
    """Every Service with an address against the pods it sends to."""
    services = await facts.list(resources.SERVICES, scope.data)
    pods = await facts.list(resources.PODS, scope.data)
    problems = []
    for service in services:
        selector = service["spec"].get("selector")
        if service["spec"].get("clusterIP") == "None" or not selector:
            continue
        for pod in pods:
            if pod["metadata"]["namespace"] == service["metadata"]["namespace"] and _serves(pod, selector):
                problem = mismatch(service, pod)
                if problem:
                    problems.append(f"\t* {problem}")
    return Failed("\n    ".join(problems)) if problems else PASSED


def _serves(pod: Object, selector: dict[str, str]) -> bool:
    status = pod.get("status") or {}
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions") or [])
    return ready and matches(selector, pod["metadata"].get("labels") or {})


def mismatch(service: Object, pod: Object) -> str:
    """The first port on which the two disagree, in Linkerd's words; empty where they agree."""
    on_service, on_pod = Ports.of(service), Ports.of(pod)
    if not on_service.given and not on_pod.given:
        return ""
    name, pod_name = service["metadata"]["name"], pod["metadata"]["name"]
    for port, target, target_name in _reached(service, pod):
        if on_service.has(port, service_names(service, port)) and not on_pod.has(target, {target_name}):
            there = f"pod {pod_name} {ANNOTATION} annotation"
            return f"service {name} expects target port {target} to be opaque; add it to {there}"
    for port, target, target_name in _reached(service, pod):
        if on_pod.has(target, {target_name}) and not on_service.has(port, service_names(service, port)):
            if not _spelled_target(service, port):
                return f"service {name} targets the opaque port {target}; add it to its {ANNOTATION} annotation"
            shown = target_name if isinstance(_spelled_target(service, port), str) else target
            return f"service {name} targets the opaque port {shown} through {port}; add {port} to its {ANNOTATION} annotation"
    return ""


class Ports:
    """An annotation's list: numbers, ranges and names, all of them legal (Linkerd's own check knows only numbers)."""

    def __init__(self, text: str) -> None:
        self.given = bool(text.strip())
        self._ranges: list[tuple[int, int]] = []
        self._names: set[str] = set()
        for part in filter(None, (part.strip() for part in text.split(","))):
            found = _RANGE.fullmatch(part)
            if found:
                self._ranges.append((int(found[1]), int(found[2] or found[1])))
            else:
                self._names.add(part)

    @classmethod
    def of(cls, item: Object) -> Ports:
        """Those of a pod or Service."""
        return cls((item["metadata"].get("annotations") or {}).get(ANNOTATION, ""))

    def has(self, port: int, names: set[str]) -> bool:
        """Whether a port is among them, by number or by one of its names."""
        return bool(self._names & names) or any(low <= port <= high for low, high in self._ranges)


def service_names(service: Object, port: int) -> set[str]:
    """What a Service's port is called."""
    return {item["name"] for item in service["spec"].get("ports") or [] if item["port"] == port and item.get("name")}


def _spelled_target(service: Object, port: int) -> int | str | None:
    item = next(item for item in service["spec"]["ports"] if item["port"] == port)
    target: int | str | None = item.get("targetPort")
    return target


def _reached(service: Object, pod: Object) -> Iterator[tuple[int, int, str]]:
    """The Service's ports, with number and name of the container's port that each one leads to."""
    declared = [
        (port["containerPort"], port.get("name", ""))
        for container in all_containers(pod)
        if container["name"] != PROXY
        for port in container.get("ports") or []
    ]
    for item in service["spec"].get("ports") or []:
        target = item.get("targetPort") or item["port"]
        for number, name in declared:
            if target in (number, name):
                yield item["port"], number, name
                break
