"""Server-side apply in a simple honest form; called by `registry`. Pure.

Ownership is kept as real `managedFields` entries with `fieldsV1`, but only for managers that apply: an applied field
that its manager no longer names is removed when nobody else applied it, and a field somebody else applied with another
value is a conflict unless forced. Plain updates own nothing here (in Kubernetes they do), so they never cause
conflicts.
"""

from __future__ import annotations

import json
from typing import Any

from interceptor.devcluster.objects import Object, clone, timestamp
from interceptor.devcluster.patch.listkeys import APPLY_KEYS, KEY_DEFAULTS, SETS, keys_for
from interceptor.devcluster.status import ApiError

_IDENTITY = ("apiVersion", "kind")
_UNOWNED = {"name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"}


def _item_key(item: Any, keys: tuple[str, ...]) -> str:
    named = {key: item.get(key, KEY_DEFAULTS.get(key)) for key in keys}
    return "k:" + json.dumps(named, sort_keys=True, separators=(",", ":"))


def fields_of(value: Any, parent: str = "", field: str = "") -> Object:
    """Return the fieldsV1 set of what an applied object names."""
    if isinstance(value, dict):
        return {
            f"f:{key}": fields_of(inner, field, key)
            for key, inner in value.items()
            if not (field == "" and key in _IDENTITY) and not (field == "metadata" and key in _UNOWNED)
        }
    if isinstance(value, list):
        keys = keys_for(APPLY_KEYS, parent, field)
        if keys:
            return {_item_key(item, keys): {".": {}} | fields_of(item, parent, field) for item in value}
        if field in SETS:
            return {"v:" + json.dumps(item): {} for item in value}
    return {}


def _drop(value: Any, gone: Object, kept: list[Object], parent: str, field: str) -> Any:
    """Remove from `value` what `gone` names and none of `kept` does."""
    if isinstance(value, dict):
        result = dict(value)
        for step, inner in gone.items():
            key = step.removeprefix("f:")
            if not step.startswith("f:") or key not in result:
                continue
            others = [other[step] for other in kept if step in other]
            if inner or others:
                left = _drop(result[key], inner, others, field, key)
                if left in ({}, []) and not others:
                    del result[key]
                else:
                    result[key] = left
            else:
                del result[key]
        return result
    if isinstance(value, list):
        keys = keys_for(APPLY_KEYS, parent, field)
        left = []
        for item in value:
            step = _item_key(item, keys) if keys else "v:" + json.dumps(item)
            if step not in gone:
                left.append(item)
            elif any(step in other for other in kept):
                left.append(_drop(item, gone[step], [o[step] for o in kept if step in o], parent, field))
        return left
    return value


def _merge(live: Any, applied: Any, parent: str, field: str) -> Any:
    if isinstance(applied, dict) and isinstance(live, dict):
        result = dict(live)
        for key, value in applied.items():
            result[key] = _merge(live[key], value, field, key) if key in live else value
        return result
    if isinstance(applied, list) and isinstance(live, list):
        keys = keys_for(APPLY_KEYS, parent, field)
        if keys:
            places = {_item_key(item, keys): index for index, item in enumerate(live)}
            items = list(live)
            for item in applied:
                place = places.get(_item_key(item, keys))
                if place is None:
                    items.append(item)
                else:
                    items[place] = _merge(items[place], item, parent, field)
            return items
        if field in SETS:
            return live + [item for item in applied if item not in live]
    return applied


def _differences(live: Any, applied: Any, owned: Object, parent: str, field: str, path: str) -> list[str]:
    """Return the paths that `owned` (another's) names and where `applied` wants another value than `live`."""
    if isinstance(applied, dict) and isinstance(live, dict):
        found: list[str] = []
        for key, value in applied.items():
            if f"f:{key}" in owned and key in live:
                found += _differences(live[key], value, owned[f"f:{key}"], field, key, f"{path}.{key}")
        return found
    keys = keys_for(APPLY_KEYS, parent, field)
    if isinstance(applied, list) and isinstance(live, list) and keys:
        found = []
        by_key = {_item_key(item, keys): item for item in live}
        for item in applied:
            step = _item_key(item, keys)
            if step in owned and step in by_key:
                found += _differences(by_key[step], item, owned[step], parent, field, f"{path}[{step[2:]}]")
        return found
    return [path] if live != applied else []


def server_side_apply(live: Object | None, applied: Object, manager: str, *, force: bool) -> Object:
    """Return the live object with what `manager` applies, or raise 409 naming the fields others applied."""
    wanted = clone(applied)
    wanted.get("metadata", {}).pop("managedFields", None)
    entries = clone({"e": (live or {}).get("metadata", {}).get("managedFields") or []})["e"]
    mine = next((entry for entry in entries if entry["manager"] == manager), None)
    others = [entry for entry in entries if entry is not mine]
    ours = fields_of(wanted)
    if live is not None:
        for entry in others:
            paths = _differences(live, wanted, entry["fieldsV1"], "", "", "")
            if paths and not force:
                causes = [
                    {"reason": "FieldManagerConflict", "message": f'conflict with "{entry["manager"]}"', "field": path}
                    for path in paths
                ]
                text = f"Apply failed with {len(paths)} conflict{'s' if len(paths) > 1 else ''}: " + ", ".join(
                    f'conflict with "{entry["manager"]}": {path}' for path in paths
                )
                raise ApiError(409, "Conflict", text, details={"causes": causes})
            if paths:
                entry["fieldsV1"] = _without(entry["fieldsV1"], ours)
    base = clone(live) if live is not None else {}
    if mine is not None:
        kept = [ours, *(entry["fieldsV1"] for entry in others)]
        base = _drop(base, mine["fieldsV1"], kept, "", "")
    result: Object = _merge(base, wanted, "", "") if base else wanted
    changed = mine is None or mine["fieldsV1"] != ours
    entry = {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": wanted["apiVersion"],
        "fieldsType": "FieldsV1",
        "time": timestamp() if changed or mine is None else mine["time"],
        "fieldsV1": ours,
    }
    result.setdefault("metadata", {})["managedFields"] = [*others, entry]
    return result


def _without(owned: Object, taken: Object) -> Object:
    return {
        step: _without(inner, taken[step]) if step in taken else inner
        for step, inner in owned.items()
        if step not in taken or (inner and step != ".")
    }
