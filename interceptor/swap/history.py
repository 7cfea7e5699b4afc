"""Where the cluster keeps the template that a pod was made of; `session.history` and the agents ask. Pure.

`kubectl rollout undo` brings such a template back: one of a session's agents must not stay there when the session is over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Object = dict[str, Any]

_HASH = "controller-revision-hash"


class Revision(NamedTuple):
    """One entry of a workload's history. `uid` is empty where the pod doesn't tell it."""

    plural: str
    name: str
    uid: str = ""


def revision_of(pod: Object, kind: str) -> Revision | None:
    """The entry that a pod of a Deployment, StatefulSet or DaemonSet comes from; others keep no history."""
    metadata = pod["metadata"]
    owner = next((one for one in metadata.get("ownerReferences") or [] if one.get("controller")), None)
    if owner is None:
        return None
    if kind == "Deployment":
        return Revision("replicasets", owner["name"], owner["uid"]) if owner["kind"] == "ReplicaSet" else None
    mark = (metadata.get("labels") or {}).get(_HASH)
    if owner["kind"] != kind or not mark:
        return None
    if kind == "StatefulSet":
        return Revision("controllerrevisions", mark)
    return Revision("controllerrevisions", f"{owner['name']}-{mark}") if kind == "DaemonSet" else None
