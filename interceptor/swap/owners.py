"""Who owned the fields that the swap writes, and gives them back; `template` asks `losers`, `undo` asks `give_back`.

The API server keeps in `metadata.managedFields` who set which field. A write takes the field from its owner, also the
write that puts the old value back: left so, the next `kubectl apply --server-side` of a new image would meet a conflict
with a session that ended long ago, and a field dropped from a manifest would stay. Kubernetes lets a client write
managedFields itself; a write that changes nothing else leaves them as written. (Structured merge diff, fieldsV1.)
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from interceptor.swap.path import Path, same

MANAGERS = ("interceptor", "interceptor-agent")  # the client's name and the agents', by their User-Agent

Entry = dict[str, Any]
_IDENTITY = ("manager", "operation", "apiVersion", "subresource")


def losers(entries: Any, places: Iterable[Path]) -> list[Entry]:
    """Of each entry of managedFields, what it has at these places."""
    found = []
    places = list(places)
    for entry in entries or []:
        fields: Entry = {}
        for place in places:
            _union(fields, _part(entry.get("fieldsV1") or {}, place))
        if fields and entry.get("manager") not in MANAGERS:
            found.append({**{key: value for key, value in entry.items() if key != "fieldsV1"}, "fieldsV1": fields})
    return found


def give_back(entries: Any, lost: Iterable[Entry], theirs: Iterable[Path]) -> Any:
    """The entries without ours, and with what others lost to us but for the places that are somebody's by now."""
    if not any(entry.get("manager") in MANAGERS for entry in entries or []):
        return entries
    given = [copy.deepcopy(entry) for entry in entries if entry.get("manager") not in MANAGERS]
    for entry in lost:
        fields = copy.deepcopy(entry["fieldsV1"])
        for place in theirs:
            _remove(fields, place)
        mine = next((one for one in given if all(one.get(key) == entry.get(key) for key in _IDENTITY)), None)
        if mine is not None:
            _union(mine.setdefault("fieldsV1", {}), fields)
        elif fields:
            given.append({**entry, "fieldsV1": fields})
    return given or entries  # an empty list would have the server forget all it knew


def step(fields: Entry, element: Any) -> str | None:
    """The key by which fieldsV1 leads to one element of a path, None where it doesn't."""
    if isinstance(element, str):
        return f"f:{element}" if f"f:{element}" in fields else None
    for key in fields:
        if key.startswith("k:"):
            item = json.loads(key[2:])
            if all(name in item and same(item[name], value) for name, value in element.items()):
                return key
    return None


def _part(fields: Entry, place: Path) -> Entry:
    """The part of a field set below `place`, with the way there; empty where it has none."""
    if not place:
        return copy.deepcopy(fields)
    key = step(fields, place[0])
    if key is None:
        return {}
    if len(place) == 1:
        return {key: copy.deepcopy(fields[key])}
    inner = _part(fields[key], place[1:])
    return {key: inner} if inner else {}


def _union(fields: Entry, more: Entry) -> None:
    for key, inner in more.items():
        _union(fields.setdefault(key, {}), inner)


def _remove(fields: Entry, place: Path) -> None:
    """Take out what is at `place`, and the way there where nothing else is on it."""
    key = step(fields, place[0])
    if key is None:
        return
    if len(place) > 1:
        _remove(fields[key], place[1:])
    if len(place) == 1 or not fields[key]:
        del fields[key]
