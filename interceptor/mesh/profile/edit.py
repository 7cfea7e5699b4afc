"""From what a person wants of a route to the object that says so, and why it can't be said; `session.profile_plan` asks.

Pure. What the kinds can say differs: a ServiceProfile retries what it counts as a failure, within a budget and without a
number; a route's annotations name answers and a number, know no budget, and hold for all rules of their object.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError, UsageError
from interceptor.kube.resources import Resource
from interceptor.mesh.named_read import PROFILES
from interceptor.mesh.profile import units
from interceptor.mesh.profile.read import InForce
from interceptor.mesh.profile.rows import RETRY, TIMEOUT, Row, failures, find, rows
from interceptor.mesh.profile.template import regex_of, split
from interceptor.swap.path import ABSENT, Path, look
from interceptor.swap.policy import Change, edited

Object = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What a person asks for. None: leave it; a timeout of 0: none at all; retries of 0: not again."""

    route: str
    timeout: float | None = None
    retries: int | None = None
    retry_on: str = ""
    budget: float | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        return self.timeout is None and self.retries is None and not self.retry_on and self.budget is None


@dataclass(frozen=True)
class Edit:
    """One object before (None: it has to be made) and after, and what a person should know."""

    resource: Resource
    name: str  # of the object
    before: Object | None
    after: Object
    changes: tuple[Change, ...]
    route: str  # as the proxies' metrics name it
    path: str  # `GET /books/{id}`
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """As people type it."""
        return f"{self.resource.kind.lower()}/{self.name}"


def edit(found: InForce, wanted: Wanted) -> Edit:
    """The change. Raises InterceptorError where there is no such route or it can't be said."""
    listed = rows(found)
    in_force = [row for row in listed if not row.shadowed_by]
    if not in_force:
        return _first_profile(found, wanted)
    meant = find(in_force, wanted.route)
    if not meant:
        raise _no_such(found, wanted.route, listed)
    row = meant[0]
    if len({one.object for one in meant}) > 1:
        several = ", ".join(dict.fromkeys(one.object for one in meant))
        raise InterceptorError(f"{wanted.route} is a route of several objects: {several}", hint="name one by its name")
    edits, notes = _of_profile(row, wanted) if row.resource is PROFILES else _of_route(found, row, wanted)
    after, changes = edited(row.item, edits)
    name = row.item["metadata"]["name"]
    return Edit(row.resource, name, row.item, after, changes, row.name, row.route, tuple(notes))


def _of_profile(row: Row, wanted: Wanted) -> tuple[list[tuple[Path, Any]], list[str]]:
    edits: list[tuple[Path, Any]] = []
    notes: list[str] = []
    route = look(row.item, row.place)
    if wanted.timeout is not None:
        edits.append(((*row.place, "timeout"), units.duration(wanted.timeout) if wanted.timeout else ABSENT))
    retries = _retries(wanted, row)
    if retries is not None:
        edits.append(((*row.place, "isRetryable"), True if retries else ABSENT))
    if retries:
        counted = failures(route)
        if wanted.retry_on and units.answers(wanted.retry_on) != counted:
            raise InterceptorError(
                f"a ServiceProfile retries what it counts as a failure: of {row.name} that is {counted}",
                hint=f"--retry-on {counted}, or change its responseClasses",
            )
        notes.append("a ServiceProfile has no number of retries: its budget alone bounds them")
        if route.get("timeout") or wanted.timeout:
            notes.append("its timeout is for a request with all its retries; what it ends is not asked again")
    edits += _budget(row.item, wanted)
    return edits, notes


def _budget(profile: Object, wanted: Wanted) -> list[tuple[Path, Any]]:
    if wanted.budget is None:
        return []
    now = (profile.get("spec") or {}).get("retryBudget") or {}
    kept = {"minRetriesPerSecond": now.get("minRetriesPerSecond", 10), "ttl": now.get("ttl", "10s")}
    return [(("spec", "retryBudget"), {"retryRatio": wanted.budget, **kept})]


def _retries(wanted: Wanted, row: Row | None) -> int | None:
    """How many are asked for; None where nothing is."""
    if wanted.retries is not None:
        return wanted.retries
    return (row.retries if row and row.retries else 1) if wanted.retry_on else None


def _of_route(found: InForce, row: Row, wanted: Wanted) -> tuple[list[tuple[Path, Any]], list[str]]:
    edits: list[tuple[Path, Any]] = []
    notes: list[str] = []
    grpc = row.resource.kind == "GRPCRoute"
    own = row.item["metadata"].get("annotations") or {}
    service = found.service["metadata"].get("annotations") or {}
    if wanted.budget is not None:
        raise InterceptorError(f"{row.object} has no retry budget: only a ServiceProfile does", hint="--retries N")
    if wanted.timeout is not None:
        key = f"{TIMEOUT}request"
        text = units.duration(wanted.timeout)
        if grpc or key in own:
            _alone(row, "the annotation for its timeout holds")
            edits.append((_annotation(key), text if wanted.timeout else ABSENT))
        else:
            edits.append(((*row.place, "timeouts", "request"), text if wanted.timeout else ABSENT))
            together = [one for one in rows(found) if one.item is row.item and one.place == row.place]
            if len(together) > 1:
                notes.append(f"its rule has more matches, which get the timeout too: {_listed(together, row)}")
        _tell_hidden(notes, own, service, TIMEOUT, "timeout")
    retries = _retries(wanted, row)
    if retries is not None:
        _alone(row, "annotations for retries hold")
        key = f"{RETRY}{'grpc' if grpc else 'http'}"
        usual = "unavailable" if grpc else "5xx"
        which = units.answers(wanted.retry_on, grpc=grpc) if wanted.retry_on else row.retry_on or usual
        edits.append((_annotation(key), which if retries else ABSENT))
        edits.append((_annotation(f"{RETRY}limit"), str(retries) if retries else ABSENT))
        if retries:
            _tell_hidden(notes, own, service, RETRY, "retry")
        notes.append("retries by annotation are Linkerd's: other meshes don't read them")
    return edits, notes


def _annotation(key: str) -> Path:
    return ("metadata", "annotations", key)


def _alone(row: Row, what: str) -> None:
    """Refuse what would change other routes as well."""
    if not row.alone:
        raise InterceptorError(
            f"{what} for all of {row.object}, which has other matches beside {row.route}",
            hint="give the route an object of its own: interceptor profile new prints one for each",
        )


def _tell_hidden(notes: list[str], own: Object, service: Object, prefix: str, word: str) -> None:
    if not any(key.startswith(prefix) for key in own) and any(key.startswith(prefix) for key in service):
        notes.append(f"the Service's own {word} annotations then don't hold for this route")


def _listed(listed: Sequence[Row], but: Row) -> str:
    return ", ".join(one.route for one in listed if one.route != but.route)


def _first_profile(found: InForce, wanted: Wanted) -> Edit:
    """Nothing names a route yet: a ServiceProfile with this one, which lets everything else pass."""
    if PROFILES in found.hidden:
        raise InterceptorError(f"the routes of {found.title} can't be read: {found.hidden[PROFILES]}")
    if PROFILES in found.absent:
        raise InterceptorError(
            f"{found.title} has no routes, and this cluster has no ServiceProfiles to make one",
            hint="install Linkerd's CRDs, or make HTTPRoutes: interceptor profile new",
        )
    known = split(wanted.route)
    if known is None:
        raise UsageError(
            f"{found.title} has no routes yet", hint="name a new one as METHOD /path, as in GET /books/{id}"
        )
    method, path = known
    name = f"{method} {path}"
    route: Object = {"name": name, "condition": {"method": method, "pathRegex": regex_of(path)}}
    bare: Object = {
        "apiVersion": PROFILES.group_version,
        "kind": PROFILES.kind,
        "metadata": {"name": found.host, "namespace": found.namespace},
        "spec": {"routes": [route]},
    }
    row = Row(name, name, PROFILES, copy.deepcopy(bare), ("spec", "routes", {"name": name}))
    edits, notes = _of_profile(row, wanted)
    after, changes = edited(bare, edits)
    notes.insert(0, f"{found.title} has no routes yet: a ServiceProfile is made, and deleted at the end")
    return Edit(PROFILES, found.host, None, after, changes, name, name, tuple(notes))


def _no_such(found: InForce, wanted: str, listed: Sequence[Row]) -> InterceptorError:
    shadowed = find([row for row in listed if row.shadowed_by], wanted)
    if shadowed:
        row = shadowed[0]
        return InterceptorError(
            f"{row.object} has {wanted}, but is not in force: {row.shadowed_by} disables it",
            hint=f"name a route of {row.shadowed_by}: interceptor profile show {found.title} -n {found.namespace}",
        )
    names = list(dict.fromkeys(word for row in listed if not row.shadowed_by for word in (row.route, row.name) if word))
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    known = f"did you mean {' or '.join(map(repr, close))}?" if close else f"it has: {', '.join(names[:8])}"
    return InterceptorError(f"{found.title} has no route {wanted!r}", hint=known)
