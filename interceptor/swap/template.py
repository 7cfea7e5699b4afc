"""Puts the agent in a container's place; `workload.change` calls it and sends the difference as JSON Patch.

Everything not named here stays: resources, environment, ports, volumes, security context, labels, the service
account and what a mesh needs. The container's own probes are answered by the agent because an exec probe's
program may be missing from another image, and because the process that really serves may stand at a breakpoint.
"""

from __future__ import annotations

import copy
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.swap.owners import losers
from interceptor.swap.path import ABSENT, Path, has_parent, look, put, same
from interceptor.swap.plan import SwapPlan
from interceptor.swap.record import SESSION_ANNOTATION, SWAP_ANNOTATION, Change, Record, encode, record_of

_POD: Path = ("spec", "template", "spec")
_READ_ONLY_FOR_ALL = 0o444  # the container's user is the app's, whoever that is


class AlreadySwapped(InterceptorError):
    """The workload carries somebody's swap; a second one on top could never be taken back exactly."""

    def __init__(self, record: Record) -> None:
        super().__init__(
            f"already intercepted by {record.holder} since {record.since}",
            hint="ask them to stop, or end their session with --take-over; to put it back: interceptor restore NAME",
        )
        self.record = record


def swap(workload: dict[str, Any], plan: SwapPlan) -> dict[str, Any]:
    """The workload with the agent in the container's place and the record of what it replaced."""
    existing = record_of(workload)
    if existing is not None:
        raise AlreadySwapped(existing)
    swapped = copy.deepcopy(workload)
    container = (*_POD, "containers", {"name": plan.container})
    if look(swapped, container) is ABSENT:
        raise InterceptorError(f"the workload has no container {plan.container!r}")
    writer = _Writer(swapped)
    _write_program(writer, container, plan)
    _write_probes(writer, container, plan)
    _write_files(writer, container, plan)
    writer.write(("spec", "template", "metadata", "annotations", SESSION_ANNOTATION), plan.session)
    writer.make_room(("metadata", "annotations"), {})
    places = [change.path for change in writer.changes if not change.is_room]
    owners = losers((workload.get("metadata") or {}).get("managedFields"), places)
    record = Record(plan.session, plan.holder, plan.since, tuple(writer.changes), tuple(owners))
    swapped["metadata"]["annotations"][SWAP_ANNOTATION] = encode(record)
    return swapped


class _Writer:
    """Writes into one object and remembers what was there."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.changes: list[Change] = []

    def write(self, path: Path, value: Any) -> None:
        """Set the place (ABSENT removes it), making room where its parents are missing."""
        if not has_parent(self.root, path):
            self.make_room(path[:-1], {} if isinstance(path[-1], str) else [])
        before = look(self.root, path)
        if same(before, value):
            return
        self.changes.append(Change(path, copy.deepcopy(before), copy.deepcopy(value)))
        put(self.root, path, value)

    def make_room(self, path: Path, empty: Any) -> None:
        """Make an empty object or list at `path` where there is nothing or null."""
        if look(self.root, path) in (ABSENT, None):
            if not has_parent(self.root, path):
                self.make_room(path[:-1], {})
            self.write(path, empty)


def _write_program(writer: _Writer, container: Path, plan: SwapPlan) -> None:
    if plan.image is not None:
        writer.write((*container, "image"), plan.image)
        writer.write((*container, "imagePullPolicy"), "IfNotPresent")
        if plan.run_as_user is not None and _lacks_user(writer.root, container):
            writer.write((*container, "securityContext", "runAsUser"), plan.run_as_user)
    writer.write((*container, "command"), list(plan.command))
    writer.write((*container, "args"), ABSENT)
    if plan.image is not None:  # in its own image the directory is there, and the app may have to go on in it
        writer.write((*container, "workingDir"), "/")
    writer.write((*container, "lifecycle"), ABSENT)  # its commands are the app's; preStop would delay the undo


def _lacks_user(root: dict[str, Any], container: Path) -> bool:
    """Whether the kubelet would refuse an image that names its user by name or not at all."""
    own = look(root, (*container, "securityContext"))
    pod = look(root, (*_POD, "securityContext"))

    def setting(key: str) -> Any:
        for context in (own, pod):
            if isinstance(context, dict) and context.get(key) is not None:
                return context[key]
        return None

    return setting("runAsNonRoot") is True and setting("runAsUser") is None


def _write_probes(writer: _Writer, container: Path, plan: SwapPlan) -> None:
    """Every value spelled out: what is left to defaults comes back different from what was written. And none of them the
    API's default, where that can be: a manifest that drops a field meanwhile makes it the default, and so it is theirs.

    The agent answers in a millisecond, but may wait for the processor where the container's limit is small: hence
    the long timeouts. Readiness is asked for each second, so that a tunnel that is up serves at once; it is there
    even where the app had none, so that no request comes before the tunnel.
    """

    def probe(path: str, period: int, failures: int) -> dict[str, Any]:
        return {
            "httpGet": {"path": path, "port": plan.health_port, "scheme": "HTTP"},
            "timeoutSeconds": 5,
            "periodSeconds": period,
            "successThreshold": 1,
            "failureThreshold": failures,
        }

    if look(writer.root, (*container, "startupProbe")):
        writer.write((*container, "startupProbe"), probe("/started", 1, 60))
    if look(writer.root, (*container, "livenessProbe")):
        writer.write((*container, "livenessProbe"), probe("/live", 11, 6))
    writer.write((*container, "readinessProbe"), probe("/ready", 1, 4))


def _write_files(writer: _Writer, container: Path, plan: SwapPlan) -> None:
    taken = {
        item.get("name")
        for path in ((*_POD, "volumes"), (*container, "volumeMounts"))
        for item in (look(writer.root, path) or [])
        if isinstance(item, dict)
    }
    name, number = "interceptor", 1
    while name in taken:
        number += 1
        name = f"interceptor-{number}"
    cluster_ca = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "cluster-ca.crt"}]}
    sources = [{"secret": {"name": plan.secret}}, {"configMap": cluster_ca}]
    volume = {"name": name, "projected": {"sources": sources, "defaultMode": _READ_ONLY_FOR_ALL}}
    mount = {"name": name, "mountPath": plan.mount_path, "readOnly": True}
    writer.write((*_POD, "volumes", {"name": name}), volume)
    writer.write((*container, "volumeMounts", {"mountPath": plan.mount_path}), mount)
