"""One place, three ways: what was there, what the swap wrote, what is there now; `undo` asks for every place of a record.

What still is as the swap wrote it goes back; what somebody else changed is theirs and stays. Objects are merged key by
key, because whoever applies a manifest sets only the keys it names and leaves the rest of our object around them. A list
without names (command, args) is one value. docs/merge.md has the rules as a table.
"""

from __future__ import annotations

import copy
from typing import Any

from interceptor.swap.path import ABSENT, Path, covers, same

_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")  # of these a probe has exactly one: together they are one value


def merge(path: Path, before: Any, after: Any, found: Any, theirs: list[Path]) -> Any:
    """The value that belongs at `path` now; appends to `theirs` the places that keep what somebody else wrote."""
    if same(found, before):
        return found
    if same(found, after) or (found in (ABSENT, None) and before in (ABSENT, None)):
        return copy.deepcopy(before)
    objects = isinstance(found, dict) and isinstance(after, dict)
    if objects and path[-1] in _PROBES:
        merged = _probe(path, before if isinstance(before, dict) else {}, after, found, theirs)
        return merged if isinstance(before, dict) or merged is not ABSENT else before
    if objects and isinstance(before, dict):
        return _object(path, before, after, found, theirs)
    if objects and _is_ours(path[-1], after, found):
        return copy.deepcopy(before)
    theirs.append(path)
    return found


def _object(path: Path, before: Any, after: Any, found: Any, theirs: list[Path]) -> dict[str, Any]:
    merged = {}
    for key in [*found, *(key for key in before if key not in found)]:
        was, wrote, now = (value.get(key, ABSENT) for value in (before, after, found))
        if was is ABSENT and wrote is ABSENT:
            value = ABSENT if now in (None, "", 0, [], {}) else now  # the API leaves such values out, whoever set them
        else:
            value = merge((*path, key), was, wrote, now, theirs)
        if value is not ABSENT:
            merged[key] = value
    return merged


def _probe(path: Path, before: Any, after: Any, found: Any, theirs: list[Path]) -> Any:
    """A probe that asks the agent is ours, whatever else of it was changed; one that asks the app is theirs."""
    was, wrote, now = (_handler(value) for value in (before, after, found))
    if was.keys() == wrote.keys() == now.keys():
        handler = _object(path, was, wrote, now, theirs)
    elif same(now, was) or covers(wrote, now) or _port(now) == _port(wrote):
        handler = was
    else:
        handler = now
        theirs.append((*path, *now))
    if not handler:
        return ABSENT
    was, wrote, now = ({k: v for k, v in value.items() if k not in _HANDLERS} for value in (before, after, found))
    rest = _object(path, was, wrote, now, theirs)
    return {**copy.deepcopy(handler), **rest}


def _handler(probe: dict[str, Any]) -> dict[str, Any]:
    return {kind: probe[kind] for kind in _HANDLERS if probe.get(kind) is not None}


def _port(handler: dict[str, Any]) -> Any:
    return next((value.get("port") for value in handler.values() if isinstance(value, dict)), None)


def _is_ours(element: Any, after: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether what stands where the swap added something is that, perhaps changed, and not another of the same name."""
    identity = element if isinstance(element, dict) else {}
    return any(key in found for key in after if key not in identity)
