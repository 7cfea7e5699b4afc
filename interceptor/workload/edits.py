"""What somebody changed of a workload, who and when; `session.others` asks for each state that the watch brings. Pure.

The API server keeps in `metadata.managedFields` which program set which field and when: the entry that differs between
two states is the writer's. Only a write that removes fields and sets none leaves no trace there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interceptor.swap import SWAP_ANNOTATION
from interceptor.swap.owners import MANAGERS, step
from interceptor.swap.patch import identity
from interceptor.swap.path import ABSENT, Path, same

Object = dict[str, Any]

AGENT = "an agent"
MOST_NAMED = 4  # places told by name; of more, how many

_SHORTER = (("spec.template.spec.", ""), ("spec.template.metadata.", "template "), ("spec.", ""), ("metadata.", ""))
_CLUSTERS_OWN = ("deployment.kubernetes.io/", "deprecated.daemonset.template.generation")
_PROGRAMS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "argocd-server": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux (Helm)",
    "helm": "Helm",
    "Helm": "Helm",
    "kubectl-client-side-apply": "kubectl apply",
    "interceptor": "another interceptor",
    "interceptor-agent": AGENT,
}


@dataclass(frozen=True)
class Author:
    """The program that wrote, and when by the server's clock; both empty where nothing tells."""

    program: str = ""
    at: str = ""  # 07:54:28 UTC

    def __str__(self) -> str:
        return self.program or "somebody"


def edits(before: Object, now: Object) -> list[Path]:
    """The places that differ: labels, annotations and spec; not what the swap or the cluster's controllers keep there."""
    return [place for place in _differences(_watched(before), _watched(now), ()) if not _is_clusters_own(place)]


def author_of(before: Object, now: Object, places: Iterable[Path]) -> Author:
    """Who made `now` of `before`: who owns a changed place, and wrote now if any of them did; else who wrote now at all.

    Whoever sets a field becomes its owner. Setting one's own field again leaves no trace: then the time is not known.
    """
    places = [*places]
    old = [json.dumps(entry, sort_keys=True) for entry in _entries(before)]
    written = [entry for entry in _entries(now) if json.dumps(entry, sort_keys=True) not in old]

    def theirs(entries: list[Object]) -> list[Object]:
        return [entry for entry in entries if entry.get("manager") not in MANAGERS]

    def owning(entries: list[Object]) -> list[Object]:
        return [entry for entry in entries if any(_owns(entry.get("fieldsV1") or {}, place) for place in places)]

    beside = [entry for entry in theirs(written) if entry.get("subresource") != "status"]
    for candidates in (owning(theirs(written)), owning(theirs(_entries(now))), beside, written):
        if candidates:
            entry = max(candidates, key=lambda entry: str(entry.get("time") or ""))
            return Author(_program(entry), _time(entry) if entry in written else "")
    return Author()


def words(places: Iterable[str]) -> str:
    """The places as people read them: replicas, containers[app].image, 2 more."""
    some = list(dict.fromkeys(map(short, places)))
    if len(some) > MOST_NAMED:
        return f"{', '.join(some[: MOST_NAMED - 1])} and {len(some) - MOST_NAMED + 1} more"
    return ", ".join(some)


def short(place: str) -> str:
    """A place's text without the way that all places share."""
    for start, instead in _SHORTER:
        if place.startswith(start):
            return instead + place.removeprefix(start)
    return place


def _watched(workload: Object) -> Object:
    metadata = workload["metadata"]
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != SWAP_ANNOTATION}
    return {"metadata": {"labels": metadata.get("labels") or {}, "annotations": annotations}, "spec": workload["spec"]}


def _differences(before: Any, now: Any, place: Path) -> list[Path]:
    if same(before, now):
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            found
            for key in keys
            for found in _differences(before.get(key, ABSENT), now.get(key, ABSENT), (*place, key))
        ]
    if isinstance(before, list) and isinstance(now, list):
        key = identity(before, now)
        if key is not None:
            old, new = ({item[key]: item for item in items} for items in (before, now))
            return [
                found
                for value in [*old, *(value for value in new if value not in old)]
                for found in _differences(old.get(value, ABSENT), new.get(value, ABSENT), (*place, {key: value}))
            ] or [place]  # the same items in another order
    return [place]


def _is_clusters_own(place: Path) -> bool:
    return len(place) > 2 and place[:2] == ("metadata", "annotations") and place[2].startswith(_CLUSTERS_OWN)


def _entries(workload: Object) -> list[Object]:
    return workload["metadata"].get("managedFields") or []


def _owns(fields: Object, place: Path) -> bool:
    """Whether a field set names the place, something below it, or the object that it was put into whole."""
    for element in place:
        key = step(fields, element)
        if key is None:
            return False
        fields = fields[key]
        if not fields:
            return True
    return True


def _program(entry: Object) -> str:
    manager = str(entry.get("manager") or "")
    if entry.get("subresource") == "scale":
        return {"kube-controller-manager": "the autoscaler", "kubectl": "kubectl scale"}.get(manager, manager)
    if manager == "kubectl" and entry.get("operation") == "Apply":
        return "kubectl apply --server-side"
    if manager in _PROGRAMS:
        return _PROGRAMS[manager]
    if manager.startswith("kubectl-"):
        return "kubectl " + manager.removeprefix("kubectl-")
    return manager


def _time(entry: Object) -> str:
    try:
        return datetime.fromisoformat(str(entry.get("time"))).strftime("%H:%M:%S UTC")
    except ValueError:
        return ""
