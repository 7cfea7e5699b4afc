"""Linkerd's debug sidecar: the annotation that asks for it, what it replaced, and the exact way back. Pure.

`session.debug.injecting` writes it and takes it back, `session.debug.leftovers` takes it back after a death: all that is
needed is kept on the workload itself, by the same patch.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError

Object = dict[str, Any]

ENABLE = "config.linkerd.io/enable-debug-sidecar"
CONTAINER = "linkerd-debug"
RECORD = "interceptor/debug"  # on the workload: what was replaced; in its template: whose revision it is


@dataclass(frozen=True, slots=True)
class Debugged:
    """Who has the sidecar in a workload. `before` is what the annotation was, None for none."""

    session: str
    holder: str
    since: str
    before: str | None
    bare: bool  # the template had no annotations at all


def debugged(workload: Object) -> Debugged | None:
    """The record on a workload, None where nobody debugs it. Raises InterceptorError for one that can't be read."""
    text = (workload["metadata"].get("annotations") or {}).get(RECORD)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return Debugged(
            str(found["session"]), str(found["holder"]), str(found["since"]), found["before"], bool(found["bare"])
        )
    except (ValueError, KeyError, TypeError) as error:
        name = workload["metadata"].get("name", "")
        hint = f"remove the annotations {RECORD} and {ENABLE} by hand"
        raise InterceptorError(f"the record of a debug session on {name} can't be read", hint=hint) from error


def with_sidecar(workload: Object, session: str, holder: str, since: str) -> Object:
    """The workload with the annotation. Raises InterceptorError where somebody has put it there already."""
    now = debugged(workload)
    if now is not None:
        raise InterceptorError(
            f"{now.holder} debugs it with --inject since {now.since}",
            hint="wait for its end, or, if they are gone: interceptor restore",
        )
    made = copy.deepcopy(workload)
    template = made["spec"]["template"].setdefault("metadata", {})
    before = template.get("annotations")
    annotations = template["annotations"] = dict(before or {})
    record = {
        "session": session,
        "holder": holder,
        "since": since,
        "before": annotations.get(ENABLE),
        "bare": before is None,
    }
    annotations |= {ENABLE: "true", RECORD: session}
    made["metadata"]["annotations"] = {**(made["metadata"].get("annotations") or {}), RECORD: json.dumps(record)}
    return made


def without_sidecar(workload: Object, session: str | None = None) -> Object | None:
    """The workload as it was, but for what others changed since; None where this session (None: any) has nothing there."""
    record = debugged(workload)
    if record is None or (session is not None and record.session != session):
        return None
    made = copy.deepcopy(workload)
    del made["metadata"]["annotations"][RECORD]
    template = made["spec"]["template"].get("metadata") or {}
    annotations: Object = template.get("annotations") or {}
    if annotations.pop(RECORD, None) is not None and annotations.get(ENABLE) == "true":
        if record.before is None:
            del annotations[ENABLE]
        else:
            annotations[ENABLE] = record.before
    if record.bare and not annotations:
        template.pop("annotations", None)
    return made


def is_of(item: Object, session: str) -> bool:
    """Whether a pod, or a revision of a template, is one with this session's sidecar."""
    template = ((item.get("data") or item).get("spec") or {}).get("template")
    metadata = (item if template is None else template).get("metadata") or {}
    return bool((metadata.get("annotations") or {}).get(RECORD) == session)
