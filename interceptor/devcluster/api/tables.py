"""Objects as the tables `kubectl get` prints.

Called by `handlers` and `watches` when the client accepts a Table. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interceptor.devcluster.objects import Object, condition, deleting, name_of, parse_time, seconds_since
from interceptor.devcluster.resources import Resource

Column = tuple[str, int, Callable[[Object], Any]]
"""Heading, priority (1: only with -o wide), and the cell."""


def human(seconds: float) -> str:
    """Spell a duration as kubectl does: two units while short."""
    whole = max(int(seconds), 0)
    if whole < 120:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, rest = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


def _age(obj: Object) -> str:
    return human(seconds_since(obj["metadata"]["creationTimestamp"]))


def _statuses(pod: Object) -> list[Object]:
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def _pod_ready(pod: Object) -> str:
    ready = sum(1 for status in _statuses(pod) if status["ready"])
    return f"{ready}/{len(pod['spec']['containers'])}"


def pod_status(pod: Object) -> str:
    """Return the STATUS column: why a container waits or ended, else the phase."""
    status = pod.get("status") or {}
    text = str(status.get("reason") or status.get("phase", "Pending"))
    for index, item in enumerate(status.get("initContainerStatuses") or ()):
        state = item["state"]
        if state.get("terminated", {}).get("exitCode") == 0:
            continue
        if "terminated" in state:
            return f"Init:{state['terminated'].get('reason') or 'ExitCode:' + str(state['terminated']['exitCode'])}"
        if (reason := state.get("waiting", {}).get("reason")) not in (None, "PodInitializing"):
            return f"Init:{reason}"
        return f"Init:{index}/{len(pod['spec']['initContainers'])}"
    for item in reversed(_statuses(pod)):
        if reason := item["state"].get("waiting", {}).get("reason"):
            text = reason
        elif "terminated" in item["state"]:
            text = item["state"]["terminated"].get("reason") or f"ExitCode:{item['state']['terminated']['exitCode']}"
    return "Terminating" if deleting(pod) else text


def _restarts(pod: Object) -> str:
    total = sum(status["restartCount"] for status in _statuses(pod))
    ends = [
        status["lastState"]["terminated"]["finishedAt"]
        for status in _statuses(pod)
        if "terminated" in status.get("lastState", {})
    ]
    return f"{total} ({human(seconds_since(max(ends)))} ago)" if total and ends else str(total)


def _status(obj: Object, field: str) -> Any:
    return (obj.get("status") or {}).get(field, 0)


def _selector(obj: Object) -> str:
    selector = obj["spec"].get("selector") or {}
    labels = (
        selector.get("matchLabels", {}) if "matchLabels" in selector or "matchExpressions" in selector else selector
    )
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"


def _containers(obj: Object) -> list[Object]:
    spec = obj["spec"].get("template", obj)["spec"] if "template" in obj["spec"] else obj["spec"]
    return list(spec["containers"])


_WORKLOAD_WIDE: tuple[Column, ...] = (
    ("Containers", 1, lambda obj: ",".join(item["name"] for item in _containers(obj))),
    ("Images", 1, lambda obj: ",".join(item["image"] for item in _containers(obj))),
    ("Selector", 1, _selector),
)


def _job_status(job: Object) -> str:
    for kind in ("Complete", "Failed", "Suspended", "FailureTarget"):
        if (found := condition(job, kind)) and found["status"] == "True":
            return kind
    return "Terminating" if deleting(job) else "Running"


def _job_duration(job: Object) -> str:
    status = job.get("status") or {}
    if "startTime" not in status:
        return ""
    if "completionTime" in status:
        return human((parse_time(status["completionTime"]) - parse_time(status["startTime"])).total_seconds())
    return human(seconds_since(status["startTime"]))


def _ports(service: Object) -> str:
    ports = service["spec"].get("ports") or ()
    return ",".join(f"{port['port']}/{port['protocol']}" for port in ports) or "<none>"


def _endpoints(obj: Object) -> str:
    found = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    return ",".join(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "") if found else "<none>"


def _event_object(event: Object) -> str:
    return f"{event['involvedObject'].get('kind', '').lower()}/{event['involvedObject'].get('name', '')}"


def _last_seen(event: Object) -> str:
    moment = event.get("lastTimestamp") or event.get("eventTime")
    return human(seconds_since(moment)) if moment else "<unknown>"


_AGE: Column = ("Age", 0, _age)
_COLUMNS: dict[str, tuple[Column, ...]] = {
    "Pod": (
        ("Ready", 0, _pod_ready),
        ("Status", 0, pod_status),
        ("Restarts", 0, _restarts),
        _AGE,
        ("IP", 1, lambda pod: (pod.get("status") or {}).get("podIP", "<none>")),
        ("Node", 1, lambda pod: pod["spec"].get("nodeName", "<none>")),
        ("Nominated Node", 1, lambda pod: "<none>"),
        ("Readiness Gates", 1, lambda pod: "<none>"),
    ),
    "Deployment": (
        ("Ready", 0, lambda obj: f"{_status(obj, 'readyReplicas')}/{obj['spec']['replicas']}"),
        ("Up-to-date", 0, lambda obj: _status(obj, "updatedReplicas")),
        ("Available", 0, lambda obj: _status(obj, "availableReplicas")),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "ReplicaSet": (
        ("Desired", 0, lambda obj: obj["spec"]["replicas"]),
        ("Current", 0, lambda obj: _status(obj, "replicas")),
        ("Ready", 0, lambda obj: _status(obj, "readyReplicas")),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "Job": (
        ("Status", 0, _job_status),
        ("Completions", 0, lambda obj: f"{_status(obj, 'succeeded')}/{obj['spec'].get('completions', 1)}"),
        ("Duration", 0, _job_duration),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "Service": (
        ("Type", 0, lambda obj: obj["spec"]["type"]),
        ("Cluster-IP", 0, lambda obj: obj["spec"].get("clusterIP", "<none>")),
        ("External-IP", 0, lambda obj: obj["spec"].get("externalName", "<none>")),
        ("Port(s)", 0, _ports),
        _AGE,
        ("Selector", 1, _selector),
    ),
    "Namespace": (("Status", 0, lambda obj: obj["status"]["phase"]), _AGE),
    "Node": (
        ("Status", 0, lambda obj: "Ready"),
        ("Roles", 0, lambda obj: "<none>"),
        _AGE,
        ("Version", 0, lambda obj: obj["status"]["nodeInfo"]["kubeletVersion"]),
    ),
    "ConfigMap": (("Data", 0, lambda obj: len(obj.get("data") or ()) + len(obj.get("binaryData") or ())), _AGE),
    "Secret": (("Type", 0, lambda obj: obj["type"]), ("Data", 0, lambda obj: len(obj.get("data") or ())), _AGE),
    "Endpoints": (("Endpoints", 0, _endpoints), _AGE),
    "EndpointSlice": (
        ("AddressType", 0, lambda obj: obj["addressType"]),
        ("Ports", 0, lambda obj: ",".join(str(port["port"]) for port in obj.get("ports") or ()) or "<unset>"),
        (
            "Endpoints",
            0,
            lambda obj: ",".join(item["addresses"][0] for item in obj.get("endpoints") or ()) or "<unset>",
        ),
        _AGE,
    ),
    "Lease": (("Holder", 0, lambda obj: (obj.get("spec") or {}).get("holderIdentity", "")), _AGE),
    "RoleBinding": (("Role", 0, lambda obj: f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"), _AGE),
    "ClusterRoleBinding": (("Role", 0, lambda obj: f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"), _AGE),
    "Role": (("Created At", 0, lambda obj: obj["metadata"]["creationTimestamp"]),),
    "ClusterRole": (("Created At", 0, lambda obj: obj["metadata"]["creationTimestamp"]),),
}
_EVENT_COLUMNS: tuple[Column, ...] = (
    ("Last Seen", 0, _last_seen),
    ("Type", 0, lambda obj: obj.get("type", "")),
    ("Reason", 0, lambda obj: obj.get("reason", "")),
    ("Object", 0, _event_object),
    ("Message", 0, lambda obj: str(obj.get("message", "")).strip()),
)


def table(resource: Resource, objects: list[Object], version: str, *, include: str, headers: bool = True) -> Object:
    """Return a Table of objects; `include` says how much of each object rides along."""
    columns = _COLUMNS.get(resource.kind, (_AGE,))
    named: tuple[Column, ...] = (("Name", 0, name_of), *columns)
    if resource.kind == "Event":
        named = (*_EVENT_COLUMNS, ("Name", 1, name_of))
    result: Object = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [
            {
                "name": heading,
                "type": "string",
                "format": "name" if heading == "Name" else "",
                "description": "",
                "priority": priority,
            }
            for heading, priority, _ in named
        ]
        if headers
        else None,
        "rows": [{"cells": [cell(obj) for _, _, cell in named], "object": _ride(obj, include)} for obj in objects],
    }
    return result


def _ride(obj: Object, include: str) -> Object | None:
    if include == "None":
        return None
    if include == "Object":
        return obj
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
