"""What decoding into Go's types and back does to an object: empty optional fields vanish. Called by `registry`. Pure.

Kubernetes stores typed objects, so `env: []`, `value: ""` or `readOnly: false` are not there when read back. Restoring
a workload "exactly" must hold for what is stored, hence these tables. Unknown fields are kept here and pruned in
Kubernetes.
"""

from __future__ import annotations

from typing import Any

from interceptor.devcluster.objects import Object

_MAPS = frozenset(
    {
        "labels",
        "annotations",
        "matchLabels",
        "nodeSelector",
        "data",
        "stringData",
        "binaryData",
        "selector",
        "limits",
        "requests",
    }
)
"""Fields that are maps: vanish when empty, and their values are kept as they are."""

_KEPT_STRINGS = frozenset({"type", "service", "storageClassName", "runtimeClassName", "message", "reason"})
"""Pointers to strings, or required strings: "" stays."""

_OMITTED_FALSE = frozenset(
    {
        "readOnly",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "stdin",
        "stdinOnce",
        "tty",
        "paused",
        "publishNotReadyAddresses",
    }
)
_OMITTED_ZERO = frozenset({"minReadySeconds", "initialDelaySeconds", "hostPort", "nodePort"})
_KEPT_LISTS = frozenset({"rules", "apiGroups", "verbs"})


def _keep(key: str, value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, bool):
        return value or key not in _OMITTED_FALSE
    if isinstance(value, int):
        return value != 0 or key not in _OMITTED_ZERO
    if value == "":
        return key in _KEPT_STRINGS
    if value == []:
        return key in _KEPT_LISTS
    return not (value == {} and key in _MAPS)


def normal(value: Any) -> Any:
    """Return `value` without the empty fields Kubernetes would not store."""
    if isinstance(value, dict):
        result = {}
        for key, inner in value.items():
            if key in _MAPS and isinstance(inner, dict):
                cleaned: Any = {name: text for name, text in inner.items() if text is not None}
            else:
                cleaned = normal(inner)
            if _keep(key, cleaned):
                result[key] = cleaned
        return result
    if isinstance(value, list):
        return [normal(item) for item in value]
    return value


def normal_object(obj: Object) -> Object:
    """Normalise a whole object; top-level data and strings of other kinds pass through `normal` as well."""
    result: Object = normal(obj)
    result.setdefault("metadata", {})
    return result
