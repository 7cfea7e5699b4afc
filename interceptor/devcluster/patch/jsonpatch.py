"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386); called by `api.handlers`. Pure."""

from __future__ import annotations

import copy
from typing import Any

from interceptor.devcluster.objects import Object
from interceptor.devcluster.status import bad_request, unprocessable


def _pointer(path: str) -> list[str]:
    if path == "":
        return []
    if not path.startswith("/"):
        raise unprocessable()
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _child(parent: Any, step: str) -> Any:
    if isinstance(parent, dict) and step in parent:
        return parent[step]
    if isinstance(parent, list) and step.isdigit() and int(step) < len(parent):
        return parent[int(step)]
    raise unprocessable()


def _find(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = _child(document, step)
    return document


def _add(document: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    parent, last = _find(document, steps[:-1]), steps[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        if last == "-":
            parent.append(value)
        elif last.isdigit() and int(last) <= len(parent):
            parent.insert(int(last), value)
        else:
            raise unprocessable()
    else:
        raise unprocessable()
    return document


def _remove(document: Any, steps: list[str]) -> Any:
    parent, last = _find(document, steps[:-1]), steps[-1]
    _child(parent, last)
    del parent[int(last) if isinstance(parent, list) else last]
    return document


def _replace(document: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    parent, last = _find(document, steps[:-1]), steps[-1]
    _child(parent, last)
    parent[int(last) if isinstance(parent, list) else last] = value
    return document


def json_patch(obj: Object, operations: Any) -> Object:
    """Return `obj` after the operations, or raise 422 as the API server does when one doesn't apply."""
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document: Any = copy.deepcopy(obj)
    for operation in operations:
        kind, steps = operation.get("op"), _pointer(operation.get("path", ""))
        value = copy.deepcopy(operation.get("value"))
        if kind == "add":
            document = _add(document, steps, value)
        elif kind == "replace":
            document = _replace(document, steps, value)
        elif kind == "remove":
            document = _remove(document, steps)
        elif kind == "test":
            if _find(document, steps) != value:
                raise unprocessable()
        elif kind in ("move", "copy"):
            source = _pointer(operation.get("from", ""))
            moved = copy.deepcopy(_find(document, source))
            if kind == "move":
                document = _remove(document, source)
            document = _add(document, steps, moved)
        else:
            raise unprocessable()
    if not isinstance(document, dict):
        raise unprocessable()
    return document


def merge_patch(obj: Any, patch: Any) -> Any:
    """Return `obj` after the merge patch: null removes, objects merge, the rest replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(obj) if isinstance(obj, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result
