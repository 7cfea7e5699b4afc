"""Takes a swap back, three ways: what was there, what the swap wrote, what is there now.

`workload.change` calls it when a session ends, the guard in the pod when the client is gone. A place that still
holds what the swap wrote gets back what it had; a place that somebody else changed meanwhile is theirs and stays.

It takes two writes: the first puts the fields back (`first_write`), the second removes the record and returns the
fields to their owners (`restore`), because each write of fields makes the API server call them ours. The record goes
last, so that whoever dies in between leaves enough behind for the next one to end it.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NamedTuple

from interceptor.swap.merge import merge
from interceptor.swap.owners import give_back
from interceptor.swap.path import ABSENT, Path, covers, has_parent, look, put, same, text
from interceptor.swap.record import SESSION_ANNOTATION, SWAP_ANNOTATION, Change, Record, encode, record_of

_FILES = ("volumes", "volumeMounts")
_CONTAINERS = ("containers", "initContainers")


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
    theirs: list[Path] = []
    for change in reversed(_followed(record.changes, restored)):
        _take_back(restored, change, theirs)
    _unmount(restored, record.changes)
    entries = look(restored, ("metadata", "managedFields"))
    if entries:
        gone = [change.path for change in record.changes if look(restored, change.path) is ABSENT]
        restored["metadata"]["managedFields"] = give_back(entries, record.owners, [*theirs, *gone])
    return Restored(restored, [text(path) for path in reversed(theirs)])


def first_write(workload: dict[str, Any], session: str | None = None) -> dict[str, Any] | None:
    """The workload with its fields back and the record still on it; None where that is so already, or not needed."""
    restored = restore(workload, session).workload
    first = copy.deepcopy(restored)
    owners: Path = ("metadata", "managedFields")
    if same(look(restored, owners), look(workload, owners)):
        return None  # nobody has to get a field back: one write does it all
    metadata = workload["metadata"]
    first["metadata"]["managedFields"] = metadata["managedFields"]
    first["metadata"]["annotations"] = {
        **(first["metadata"].get("annotations") or {}),
        SWAP_ANNOTATION: metadata["annotations"][SWAP_ANNOTATION],
    }
    return None if same(first, workload) else first


def taken_back(workload: dict[str, Any]) -> bool:
    """Whether of a swap only its record is left: who took it back has made the first of the two writes, and no more."""
    return record_of(workload) is not None and same(restore(workload).workload.get("spec"), workload.get("spec"))


def disturbed(workload: dict[str, Any], record: Record) -> list[Path]:
    """The places that no longer hold what the swap wrote: the agents can't count on them any more."""
    return [
        change.path
        for change in record.changes
        if not change.is_room and not covers(change.after, look(workload, change.path))
    ]


def settled(workload: dict[str, Any]) -> dict[str, Any] | None:
    """Right after the swap: the workload whose record has what was stored; None where that is what was written.

    An admission webhook may rewrite what we write (an image's registry): later that must not look like somebody's change.
    """
    record = record_of(workload)
    if record is None or not disturbed(workload, record):
        return None
    stored = [
        change if change.is_room else Change(change.path, change.before, copy.deepcopy(look(workload, change.path)))
        for change in record.changes
    ]
    told = copy.deepcopy(workload)
    told["metadata"]["annotations"][SWAP_ANNOTATION] = encode(replace(record, changes=tuple(stored)))
    return told


def with_record_of(swapped: dict[str, Any], workload: dict[str, Any]) -> dict[str, Any]:
    """The workload with the record of `swapped` where somebody took that away and left the agent; else as it is."""
    if record_of(workload) is not None:
        return workload
    told = copy.deepcopy(workload)
    text = swapped["metadata"]["annotations"][SWAP_ANNOTATION]
    told["metadata"]["annotations"] = {**(told["metadata"].get("annotations") or {}), SWAP_ANNOTATION: text}
    record = record_of(told)
    assert record is not None
    marks = [change for change in record.changes if change.path[-1] == SESSION_ANNOTATION or change.path[-2] in _FILES]
    return told if any(covers(mark.after, look(workload, mark.path)) for mark in marks) else workload


def _followed(changes: tuple[Change, ...], root: dict[str, Any]) -> list[Change]:
    """The changes, with the container's new name where somebody edited the live object and gave it one."""
    mount = next((change for change in changes if len(change.path) > 2 and change.path[-2] == "volumeMounts"), None)
    if mount is None or look(root, mount.path[:-2]) is not ABSENT:
        return [*changes]
    *way, _ = container = mount.path[:-2]
    for item in look(root, tuple(way)) or []:
        if isinstance(item, dict) and covers(mount.after, look(item, mount.path[-2:])):
            now, rest = (*way, {"name": item["name"]}), len(container)
            return [
                Change((*now, *change.path[rest:]), change.before, change.after)
                if change.path[:rest] == container
                else change
                for change in changes
            ]
    return [*changes]


def _unmount(root: dict[str, Any], changes: tuple[Change, ...]) -> None:
    """Where somebody copied a mount of our volume elsewhere it goes too: the API server would refuse the whole write."""
    for change in changes:
        if len(change.path) < 2 or change.path[-2] != "volumes" or look(root, change.path) is not ABSENT:
            continue
        pod = look(root, change.path[:-2]) or {}
        for container in [item for kind in _CONTAINERS for item in pod.get(kind) or []]:
            mounts = container.get("volumeMounts") or []
            left = [mount for mount in mounts if mount.get("name") != change.after["name"]]
            if len(left) < len(mounts):
                container["volumeMounts"] = left


def _take_back(root: dict[str, Any], change: Change, theirs: list[Path]) -> None:
    """Undo one change in place."""
    found = look(root, change.path)
    if same(found, change.before):
        return  # somebody put it back already
    if change.is_room:
        if found in ({}, []):
            put(root, change.path, change.before)
        return  # else others have moved in
    if not has_parent(root, change.path):
        theirs.append(change.path)
        return
    put(root, change.path, merge(change.path, change.before, change.after, found, theirs))
