"""Strategic merge patch: kubectl's default for built-in kinds; called by `api.handlers`. Pure.

Covered: merge by key, `$patch: delete|replace|merge`, `$deleteFromPrimitiveList/`, `$retainKeys`, `$setElementOrder/`.
"""

from __future__ import annotations

import copy
from typing import Any

from interceptor.devcluster.objects import Object
from interceptor.devcluster.patch.listkeys import MERGE_KEYS, SETS, keys_for

_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_merge(obj: Object, patch: Object) -> Object:
    """Return `obj` after the patch."""
    return _merge(obj, patch, parent="")


def _merge(obj: Object, patch: Object, parent: str) -> Object:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    result = dict(obj)
    if (retain := patch.get("$retainKeys")) is not None:
        result = {key: value for key, value in result.items() if key in retain}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = _merge(before if isinstance(before, dict) else {}, value, key)
        elif isinstance(value, list):
            result[key] = _merge_list(result.get(key) or [], value, parent, key)
        else:
            result[key] = value
    for key, value in patch.items():
        if key.startswith(_DELETE):
            field = key.removeprefix(_DELETE)
            result[field] = [item for item in result.get(field) or [] if item not in value]
    for key, order in patch.items():
        if key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            if isinstance(result.get(field), list):
                result[field] = _ordered(result[field], order, keys_for(MERGE_KEYS, parent, field))
    return result


def _merge_list(before: list[Any], patch: list[Any], parent: str, field: str) -> list[Any]:
    keys = keys_for(MERGE_KEYS, parent, field)
    if not keys:
        if field in SETS:
            return before + [item for item in patch if item not in before]
        return [copy.deepcopy(item) for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    key = keys[0]
    result = [] if any(item.get("$patch") == "replace" for item in patch) else list(before)
    for item in patch:
        if item.get("$patch") == "replace" and key not in item:
            continue
        place = next((index for index, old in enumerate(result) if old.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(_merge({}, item, field))
        else:
            result[place] = _merge(result[place], item, field)
    return result


def _ordered(items: list[Any], order: list[Any], keys: tuple[str, ...]) -> list[Any]:
    """Put the items named in `order` into that order; the others keep their place after what preceded them."""

    def identity(item: Any) -> Any:
        return item.get(keys[0]) if keys and isinstance(item, dict) else item

    ranks = {str(identity(wanted)): rank for rank, wanted in enumerate(order)}
    named = sorted(
        (item for item in items if str(identity(item)) in ranks), key=lambda item: ranks[str(identity(item))]
    )
    queue = iter(named)
    return [next(queue) if str(identity(item)) in ranks else item for item in items]
