"""The JSON Patch (RFC 6902) between two objects; `workload.change` and the guard in the pod send it.

Only what differs is named, so that a reader of `--dry-run` sees the change and nothing else. Lists of things with
names are compared item by item; every other list is replaced whole when it differs.
"""

from __future__ import annotations

from typing import Any

from interceptor.swap.path import same

Operation = dict[str, Any]
_IDENTITIES = ("name", "mountPath", "containerPort")


def json_patch(before: Any, after: Any) -> list[Operation]:
    """Operations that turn `before` into `after`; none where they are the same."""
    return _difference(before, after, "")


def precondition(resource_version: str) -> Operation:
    """Makes the API server answer 409 unless the object is still at this version."""
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version}


def _difference(before: Any, after: Any, path: str) -> list[Operation]:
    if same(before, after):
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        return _objects(before, after, path)
    if isinstance(before, list) and isinstance(after, list):
        operations = _lists(before, after, path)
        if operations is not None:
            return operations
    return [{"op": "replace", "path": path, "value": after}]


def _objects(before: dict[str, Any], after: dict[str, Any], path: str) -> list[Operation]:
    operations: list[Operation] = []
    for key, value in before.items():
        place = f"{path}/{_escape(key)}"
        if key not in after:
            operations.append({"op": "remove", "path": place})
        else:
            operations += _difference(value, after[key], place)
    operations += [
        {"op": "add", "path": f"{path}/{_escape(key)}", "value": value}
        for key, value in after.items()
        if key not in before
    ]
    return operations


def _lists(before: list[Any], after: list[Any], path: str) -> list[Operation] | None:
    """Item by item, or None where the items have no names of their own or changed places."""
    key = identity(before, after)
    if key is None:
        return None
    old = {item[key]: item for item in before}
    new = {item[key]: item for item in after}
    if [name for name in old if name in new] != [name for name in new if name in old]:
        return None
    operations: list[Operation] = [
        {"op": "remove", "path": f"{path}/{index}"}
        for index in reversed(range(len(before)))
        if before[index][key] not in new
    ]
    for index, item in enumerate(after):  # the first `index` items are in place by now
        place = f"{path}/{index}"
        if item[key] in old:
            operations += _difference(old[item[key]], item, place)
        else:
            operations.append({"op": "add", "path": place, "value": item})
    return operations


def identity(before: list[Any], after: list[Any]) -> str | None:
    """The key by which the items of both lists are told apart."""
    if not all(isinstance(item, dict) for item in (*before, *after)):
        return None
    for key in _IDENTITIES:
        if all(_tells_apart(items, key) for items in (before, after)):
            return key
    return None


def _tells_apart(items: list[dict[str, Any]], key: str) -> bool:
    values = [item.get(key) for item in items]
    one_type = all(isinstance(value, str) for value in values) or all(type(value) is int for value in values)
    return one_type and len(set(values)) == len(values)


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
