"""Takes a swap back, three ways: what was there, what the swap wrote, what is there now.

`workload.change` calls it when a session ends, the guard in the pod when the client is gone. A place that still
holds what the swap wrote gets back what it had; a place that somebody else changed meanwhile is theirs and stays.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from interceptor.swap.path import covers, has_parent, look, put, same, text
from interceptor.swap.record import SWAP_ANNOTATION, Change, record_of


class Restored(NamedTuple):
    """The workload without the swap, and the places that kept what somebody else wrote there."""

    workload: dict[str, Any]
    kept: list[str]


def restore(workload: dict[str, Any], session: str | None = None) -> Restored:
    """The workload as it was. One that isn't swapped, or not by `session` where given, comes back equal."""
    restored = copy.deepcopy(workload)
    record = record_of(workload)
    if record is None or (session is not None and record.session != session):
        return Restored(restored, [])
    del restored["metadata"]["annotations"][SWAP_ANNOTATION]
    kept = [text(change.path) for change in reversed(record.changes) if not _take_back(restored, change)]
    return Restored(restored, kept[::-1])


def _take_back(root: dict[str, Any], change: Change) -> bool:
    """Undo one change in place; false where somebody else's value stays."""
    found = look(root, change.path)
    if same(found, change.before):
        return True  # somebody put it back already
    if change.is_room:
        if found in ({}, []):
            put(root, change.path, change.before)
        return True  # else others have moved in
    if not covers(change.after, found) or not has_parent(root, change.path):
        return False
    put(root, change.path, copy.deepcopy(change.before))
    return True
