"""kubectl apply as a function, and the API server's defaults: what somebody else does to a workload, for property tests.

The model is kubectl's own: what the manifest names is set, what the last manifest named and this one doesn't is deleted,
everything else stays; lists of named items are merged by the API's keys. Checked against the real one in `e2e/`.
"""

from __future__ import annotations

import copy
from typing import Any

Object = dict[str, Any]

KEYS = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath", "ports": "containerPort"}
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


class RefusedError(Exception):
    """The API server would not store this."""


def applied(live: Object, last: Object, manifest: Object) -> Object:
    """What `kubectl apply` of `manifest` makes of `live`, where `last` was applied before. Raises RefusedError."""
    return defaulted(_maps(live, last, manifest))


def defaulted(workload: Object) -> Object:
    """What the API server stores of a workload."""
    stored = copy.deepcopy(workload)
    for container in stored["spec"]["template"]["spec"]["containers"]:
        container.setdefault("imagePullPolicy", "IfNotPresent")
        for probe in (container[kind] for kind in PROBES if container.get(kind) is not None):
            handlers = [kind for kind in HANDLERS if probe.get(kind) is not None]
            if len(handlers) != 1:
                raise RefusedError(f"a probe with {handlers}")
            for key, value in _PROBE_DEFAULTS.items():
                probe.setdefault(key, value)
            if handlers == ["httpGet"]:
                probe["httpGet"].setdefault("scheme", "HTTP")
    return stored


def _maps(live: Object, last: Object, manifest: Object) -> Object:
    out = {key: value for key, value in live.items() if key in manifest or key not in last}
    for key, value in manifest.items():
        found, before = out.get(key), last.get(key)
        if isinstance(value, dict) and isinstance(found, dict):
            out[key] = _maps(found, before if isinstance(before, dict) else {}, value)
        elif key in KEYS and isinstance(found, list):
            out[key] = _lists(found, before or [], value, KEYS[key])
        else:
            out[key] = copy.deepcopy(value)
    return out


def _lists(live: list[Object], last: list[Object], manifest: list[Object], key: str) -> list[Object]:
    old = {item[key]: item for item in last}
    new = {item[key]: item for item in manifest}
    out = []
    for item in live:
        name = item[key]
        if name in new:
            out.append(_maps(item, old.get(name, {}), new[name]))
        elif name not in old:
            out.append(item)
    there = {item[key] for item in live}
    return out + [copy.deepcopy(item) for item in manifest if item[key] not in there]
