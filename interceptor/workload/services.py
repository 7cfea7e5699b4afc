"""Whether Services lead callers to the intercepted ports; `session.status` asks, from objects in hand. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interceptor.workload.selectors import matches

Object = dict[str, Any]

SERVICE_LABEL = "kubernetes.io/service-name"  # on an EndpointSlice: whose it is


@dataclass(frozen=True, slots=True)
class Finding:
    """One way in, or why it is none."""

    ok: bool
    text: str
    hint: str = ""


def judge(
    workload: str, pods: Sequence[Object], ports: Sequence[int], services: Sequence[Object], slices: Sequence[Object]
) -> list[Finding]:
    """Each port of each Service that selects the agents' pods. `workload` is the bare name."""
    labels = pods[0]["metadata"].get("labels") or {} if pods else {}
    selecting = [item for item in services if matches(item["spec"].get("selector") or {}, labels)]
    if not selecting:
        return [_unselected(workload, labels, services)]
    found: list[Finding] = []
    reaches = False
    for service in selecting:
        for port in service["spec"].get("ports") or []:
            if port.get("protocol", "TCP") == "TCP":
                finding, leads = _judge_port(service, port, pods, ports, slices)
                found.append(finding)
                reaches = reaches or leads
    if found and not reaches and all(finding.ok for finding in found):
        wanted = ", ".join(map(str, ports))
        return [Finding(False, f"no Service sends to the intercepted port {wanted}: {found[0].text}", _PORT_HINT)]
    return found


_PORT_HINT = "intercept the port it sends to: --port NUMBER"


def _judge_port(
    service: Object, port: Object, pods: Sequence[Object], ports: Sequence[int], slices: Sequence[Object]
) -> tuple[Finding, bool]:
    name = service["metadata"]["name"]
    where = service["metadata"].get("namespace", "default")
    target = port.get("targetPort") or port["port"]
    number = target if isinstance(target, int) else _named(pods, target)
    if number is None:
        text = f"service {name}: port {port['port']} sends to {target!r}, but no container has a port of that name"
        return Finding(False, text, f"see kubectl get service {name} -n {where} -o yaml"), False
    if number not in ports:
        return Finding(True, f"service {name}: port {port['port']} sends to {number}, which is not intercepted"), False
    ready = _ready(name, number, slices)
    if ready == 0:
        text = f"service {name}: port {port['port']} sends to {number}, but has no ready endpoint"
        return Finding(False, text, f"see kubectl describe service {name} -n {where}"), True
    count = f"{ready} ready endpoint{'' if ready == 1 else 's'}"
    return Finding(True, f"service {name}: port {port['port']} sends to {number}, {count}"), True


def _unselected(workload: str, labels: Object, services: Sequence[Object]) -> Finding:
    """A Service of the workload's name that selects something else is most likely a mistake."""
    like = next((item for item in services if item["metadata"]["name"] == workload), None)
    selector = (like["spec"].get("selector") or {}) if like is not None else {}
    if not selector:
        return Finding(True, "no Service selects its pods; callers use their addresses")
    misses = [key for key in selector if labels.get(key) != selector[key]]
    wants = ",".join(f"{key}={selector[key]}" for key in misses)
    has = ",".join(f"{key}={labels[key]}" for key in misses if key in labels) or "no such label"
    text = f"service {workload} selects {wants}, the pods have {has}"
    return Finding(False, text, f"see kubectl get service {workload} -o yaml")


def _named(pods: Sequence[Object], name: str) -> int | None:
    for pod in pods:
        for container in pod["spec"]["containers"]:
            for port in container.get("ports") or []:
                if port.get("name") == name and port.get("protocol", "TCP") == "TCP":
                    return int(port["containerPort"])
    return None


def _ready(service: str, number: int, slices: Sequence[Object]) -> int:
    """Endpoints that get traffic: a condition that isn't there counts as true."""
    return sum(
        len(endpoint.get("addresses") or [])
        for item in slices
        if (item["metadata"].get("labels") or {}).get(SERVICE_LABEL) == service
        and any(port.get("port") == number for port in item.get("ports") or [])
        for endpoint in item.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
    )
