"""What `profile set` changes in a ServiceProfile or a route, and its exact inverse; the guard in its pod uses the same.

Each change is a place, what stood there and what we wrote. The record of all of them is an annotation on the object,
written by the same request as the change. Taking back touches only places that still hold what we wrote: whatever
somebody else wrote meanwhile stays, and is told. Runs on Python 3.10 with the standard library only.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.swap.path import ABSENT, Path, look, put, same, text

Object = dict[str, Any]

POLICY_ANNOTATION = "interceptor/profile"
FIELD_MANAGER = "interceptor"
_VERSION = 1


@dataclass(frozen=True)
class Change:
    """One place; `made` counts the objects above it that had to be made for it, and go with it when empty."""

    path: Path
    before: Any
    after: Any
    made: int = 0

    @property
    def place(self) -> str:
        """As people read it."""
        return text(
            tuple(
                step
                if isinstance(step, str)
                else {key: value if isinstance(value, str) else _short(value) for key, value in step.items()}
                for step in self.path
            )
        )


@dataclass(frozen=True)
class PolicyRecord:
    """What the annotation says. `managers` are the object's managedFields as they were, `digest` its content then."""

    session: str
    holder: str
    since: str
    until: str  # "" where only a person ends it
    created: bool
    changes: tuple[Change, ...]
    digest: str
    managers: tuple[Object, ...] = ()

    def text(self) -> str:
        """As the annotation holds it."""
        whole = {
            "v": _VERSION,
            "session": self.session,
            "holder": self.holder,
            "since": self.since,
            "until": self.until,
            "created": self.created,
            "digest": self.digest,
            "changes": [_to_json(change) for change in self.changes],
            "managers": list(self.managers),
        }
        return json.dumps(whole, separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True)
class Reverted:
    """The object as it should be; None: it was made by us and goes. `exact`: it has the very content from before."""

    wanted: Object | None
    kept: tuple[str, ...]
    exact: bool


def policy_record_of(item: Object) -> PolicyRecord | None:
    """The record on an object; None without one. Raises InterceptorError for one that can't be read."""
    text = (item["metadata"].get("annotations") or {}).get(POLICY_ANNOTATION)
    if text is None:
        return None
    try:
        data = json.loads(text)
        if data["v"] > _VERSION:
            raise InterceptorError(
                f"{item['metadata']['name']} was changed by a newer interceptor", hint="undo it with that version"
            )
        return PolicyRecord(
            data["session"],
            data["holder"],
            data["since"],
            data["until"],
            data["created"],
            tuple(_from_json(change) for change in data["changes"]),
            data["digest"],
            tuple(data["managers"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InterceptorError(
            f"the annotation {POLICY_ANNOTATION} of {item['metadata']['name']} can't be read ({error!r})",
            hint="put the object back from its manifest",
        ) from error


def edited(item: Object, edits: Iterable[tuple[Path, Any]]) -> tuple[Object, tuple[Change, ...]]:
    """The object with other values (ABSENT: none) at some places, and the changes that this took."""
    result = copy.deepcopy(item)
    changes = []
    for path, after in edits:
        before = look(result, path)
        if same(before, after):
            continue
        made = 0 if after is ABSENT else _make_above(result, path)
        put(result, path, copy.deepcopy(after))
        changes.append(Change(path, copy.deepcopy(before), after, made))
    return result, tuple(changes)


def with_policy_record(item: Object, record: PolicyRecord) -> Object:
    """The object with the record on it."""
    result = copy.deepcopy(item)
    metadata = result["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), POLICY_ANNOTATION: record.text()}
    return result


def digest(item: Object) -> str:
    """Of all that a person or a controller decides about an object; not of status, versions and our own record."""
    metadata = item.get("metadata") or {}
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != POLICY_ANNOTATION}
    content = {
        "spec": item.get("spec"),
        "labels": metadata.get("labels") or {},
        "annotations": annotations,
        "owners": metadata.get("ownerReferences") or [],
        "finalizers": metadata.get("finalizers") or [],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def revert(item: Object) -> Reverted:
    """Take the recorded changes back. Raises InterceptorError where the record can't be read, KeyError without one."""
    record = policy_record_of(item)
    if record is None:
        raise KeyError(POLICY_ANNOTATION)
    result = copy.deepcopy(item)
    annotations = result["metadata"]["annotations"]
    del annotations[POLICY_ANNOTATION]
    if not annotations:
        del result["metadata"]["annotations"]
    if record.created:
        if digest(item) == record.digest:
            return Reverted(None, (), exact=True)
        return Reverted(result, ("all of it, as it was changed after we made it",), exact=False)
    kept = []
    for change in reversed(record.changes):
        now = look(result, change.path)
        if same(now, change.before):
            continue
        if not same(now, change.after) or not isinstance(look(result, change.path[:-1]), dict):
            kept.append(change.place)  # somebody else's by now, or gone with what it was in
            continue
        put(result, change.path, copy.deepcopy(change.before))
        if change.before is ABSENT:
            _unmake_above(result, change.path, change.made)
    return Reverted(result, tuple(kept), exact=digest(result) == record.digest)


def given_back(item: Object, record: PolicyRecord) -> list[Object] | None:
    """The managedFields for an object that has its old content again: who owned what before; None where nothing is to do.

    What controllers wrote to its status meanwhile is theirs as it is now.
    """
    if record.created or not record.managers or digest(item) != record.digest:
        return None
    now = item["metadata"].get("managedFields") or []
    wanted = [entry for entry in record.managers if entry.get("subresource") != "status"]
    wanted += [entry for entry in now if entry.get("subresource") == "status"]
    return None if same(wanted, now) else wanted


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _make_above(item: Object, path: Path) -> int:
    """Make the objects that a value is to stand in; returns how many. Raises KeyError where a list has no such item."""
    made = 0
    for end in range(1, len(path)):
        above = look(item, path[:end])
        if isinstance(above, (dict, list)):
            continue
        if not isinstance(path[end - 1], str):
            raise KeyError(text(path[:end]))
        put(item, path[:end], {})
        made += 1
    return made


def _unmake_above(item: Object, path: Path, made: int) -> None:
    """Remove as many objects above a value as were made for it, if they are empty now."""
    for end in range(len(path) - 1, len(path) - 1 - made, -1):
        if look(item, path[:end]):
            return
        put(item, path[:end], ABSENT)


def _to_json(change: Change) -> Object:
    found: Object = {"path": list(change.path), "made": change.made}
    if change.before is not ABSENT:
        found["before"] = change.before
    if change.after is not ABSENT:
        found["after"] = change.after
    return found


def _from_json(data: Object) -> Change:
    return Change(tuple(data["path"]), data.get("before", ABSENT), data.get("after", ABSENT), data["made"])
