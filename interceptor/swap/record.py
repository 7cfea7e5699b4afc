"""What a swap replaced, kept on the workload itself in one annotation; `template` writes it, `undo` reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.swap.path import ABSENT, Path

SWAP_ANNOTATION = "interceptor/swap"  # on the workload: the record
SESSION_ANNOTATION = "interceptor/session"  # on the pod template: which session's agents these are


@dataclass(frozen=True)
class Change:
    """One place that the swap wrote to. ABSENT stands for a key that isn't there."""

    path: Path
    before: Any
    after: Any

    @property
    def is_room(self) -> bool:
        """Whether this only made an empty place for other changes: it goes when it is empty again."""
        return self.before in (ABSENT, None) and self.after in ({}, [])


@dataclass(frozen=True)
class Record:
    """Who swapped the workload, since when, and every place written to, in the order of writing.

    `owners` are the entries of metadata.managedFields that lose fields by it, with just these fields.
    """

    session: str
    holder: str
    since: str
    changes: tuple[Change, ...]
    owners: tuple[dict[str, Any], ...] = ()


def encode(record: Record) -> str:
    """The annotation's text: compact JSON, absent values left out."""
    changes = []
    for change in record.changes:
        entry: dict[str, Any] = {"path": list(change.path)}
        if change.before is not ABSENT:
            entry["before"] = change.before
        if change.after is not ABSENT:
            entry["after"] = change.after
        changes.append(entry)
    whole: dict[str, Any] = {
        "session": record.session,
        "holder": record.holder,
        "since": record.since,
        "changes": changes,
    }
    if record.owners:
        whole["owners"] = record.owners
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False)


def record_of(workload: dict[str, Any]) -> Record | None:
    """The record on a workload, None where it isn't swapped."""
    annotation = ((workload.get("metadata") or {}).get("annotations") or {}).get(SWAP_ANNOTATION)
    if annotation is None:
        return None
    try:
        whole = json.loads(annotation)
        return Record(
            session=str(whole["session"]),
            holder=str(whole["holder"]),
            since=str(whole["since"]),
            changes=tuple(
                Change(_path(entry["path"]), entry.get("before", ABSENT), entry.get("after", ABSENT))
                for entry in whole["changes"]
            ),
            owners=tuple(_owner(entry) for entry in whole.get("owners") or ()),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InterceptorError(
            f"the annotation {SWAP_ANNOTATION} of this workload was damaged: {error!r}",
            hint="put the workload back from its manifest, then remove the annotation",
        ) from error


def _owner(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or not isinstance(entry["fieldsV1"], dict):
        raise TypeError(f"no entry of managedFields: {entry!r}")
    return entry


def _path(elements: list[Any]) -> Path:
    for element in elements:
        if not isinstance(element, str) and not (isinstance(element, dict) and element):
            raise TypeError(f"no path element: {element!r}")
    if not elements:
        raise ValueError("an empty path")
    return tuple(elements)
