"""Deployments: a ReplicaSet for each template, rolled from old to new; its ReplicaSets are filled by `replicasets`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from interceptor.devcluster import resources
from interceptor.devcluster.control import rollout
from interceptor.devcluster.control.loop import Controller
from interceptor.devcluster.events import Recorder
from interceptor.devcluster.objects import (
    Object,
    clone,
    condition,
    controller_of,
    deleting,
    name_of,
    owned_by,
    safe_encode,
    uid_of,
)
from interceptor.devcluster.registry import DeleteOptions, Registry
from interceptor.devcluster.store import Change, Key

REVISION = "deployment.kubernetes.io/revision"
_DESIRED = "deployment.kubernetes.io/desired-replicas"
_MAX = "deployment.kubernetes.io/max-replicas"
HASH = "pod-template-hash"
_NOT_COPIED = frozenset({"kubectl.kubernetes.io/last-applied-configuration", REVISION, _DESIRED, _MAX})


def _bare(template: Object) -> Object:
    bare = clone(template)
    (bare.get("metadata", {}).get("labels") or {}).pop(HASH, None)
    return bare


def template_hash(template: Object) -> str:
    """Name a template. (Kubernetes hashes Go structures: same idea, other letters.)"""
    digest = hashlib.sha256(json.dumps(_bare(template), sort_keys=True).encode()).digest()
    return safe_encode(int.from_bytes(digest[:4], "big"))


class Deployments(Controller):
    """The Deployment controller."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._events = Recorder(registry, "deployment-controller")

    def concerns(self, change: Change) -> Iterable[Key]:
        """A Deployment, or the owner of a ReplicaSet."""
        if change.resource is resources.DEPLOYMENTS and change.kind != "DELETED":
            yield change.obj["metadata"]["namespace"], name_of(change.obj)
        elif change.resource is resources.REPLICASETS and (owner := controller_of(change.obj)):
            yield change.obj["metadata"]["namespace"], owner["name"]

    def reconcile(self, key: Key) -> float | None:
        """Move the rollout one step and write the status."""
        deployment = self.store.get(resources.DEPLOYMENTS, *key)
        if deployment is None or deleting(deployment):
            return None
        owned = [
            item
            for item in self.store.list(resources.REPLICASETS, key[0])
            if owned_by(item, deployment) and not deleting(item)
        ]
        template = _bare(deployment["spec"]["template"])
        new = next((item for item in owned if _bare(item["spec"]["template"]) == template), None)
        status = clone(deployment.get("status") or {})
        if deployment["spec"].get("paused"):
            rollout.set_condition(status, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
            self._scale_active(deployment, new, owned)
        else:
            if (known := condition(deployment, "Progressing")) and known["reason"] == "DeploymentPaused":
                rollout.set_condition(status, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
            new = self._new(deployment, new, owned, status)
            old = [item for item in owned if uid_of(item) != uid_of(new)]
            self._roll(deployment, new, old)
        return self._write_status(deployment, new, status)

    def _new(self, deployment: Object, new: Object | None, owned: list[Object], status: Object) -> Object:
        old = [item for item in owned if new is None or uid_of(item) != uid_of(new)]
        latest = max((int(item["metadata"].get("annotations", {}).get(REVISION, 0)) for item in old), default=0)
        namespace = deployment["metadata"]["namespace"]
        if new is None:
            made = self.registry.create(resources.REPLICASETS, namespace, self._replicaset(deployment, latest + 1))
            message = f'Created new replica set "{name_of(made)}"'
            rollout.set_condition(status, "Progressing", "True", "NewReplicaSetCreated", message)
            new = made
        else:
            revision = max(latest + 1, int(new["metadata"].get("annotations", {}).get(REVISION, 0)))
            annotations = self._annotations(deployment, revision)

            def annotate(obj: Object) -> None:
                obj["metadata"]["annotations"] = obj["metadata"].get("annotations", {}) | annotations
                if minimum := deployment["spec"].get("minReadySeconds"):
                    obj["spec"]["minReadySeconds"] = minimum

            new = self.registry.modify(resources.REPLICASETS, namespace, name_of(new), annotate) or new
            if not any(item["type"] == "Progressing" for item in status.get("conditions") or ()):
                message = f'Found new replica set "{name_of(new)}"'
                rollout.set_condition(status, "Progressing", "True", "FoundNewReplicaSet", message)
        revision_text = new["metadata"]["annotations"][REVISION]
        if deployment["metadata"].get("annotations", {}).get(REVISION) != revision_text:

            def mark(obj: Object) -> None:
                obj["metadata"].setdefault("annotations", {})[REVISION] = revision_text

            self.registry.modify(resources.DEPLOYMENTS, namespace, name_of(deployment), mark, status=True)
        return new

    @staticmethod
    def _annotations(deployment: Object, revision: int) -> dict[str, str]:
        surge, _ = rollout.surge_and_unavailable(deployment)
        replicas: int = deployment["spec"]["replicas"]
        own = deployment["metadata"].get("annotations") or {}
        return {key: value for key, value in own.items() if key not in _NOT_COPIED} | {
            REVISION: str(revision),
            _DESIRED: str(replicas),
            _MAX: str(replicas + surge),
        }

    def _replicaset(self, deployment: Object, revision: int) -> Object:
        spec = deployment["spec"]
        template = clone(spec["template"])
        digest = template_hash(template)
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = digest
        selector = clone(spec["selector"])
        selector.setdefault("matchLabels", {})[HASH] = digest
        replicaset: Object = {
            "metadata": {
                "name": f"{name_of(deployment)}-{digest}",
                "labels": dict(template["metadata"]["labels"]),
                "annotations": self._annotations(deployment, revision),
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        if minimum := spec.get("minReadySeconds"):
            replicaset["spec"]["minReadySeconds"] = minimum
        return replicaset

    def _roll(self, deployment: Object, new: Object, old: list[Object]) -> None:
        recreate = deployment["spec"]["strategy"]["type"] == "Recreate"
        old_pods = any(rollout.wanted(item) or (item.get("status") or {}).get("replicas") for item in old)
        size = rollout.wanted(new) if recreate and old_pods else rollout.new_size(deployment, new, old)
        if size != rollout.wanted(new):
            self._scale(deployment, new, size)
            return
        by_name = {name_of(item): item for item in old}
        sizes = rollout.old_sizes(deployment, new, old)
        for name, size in sizes.items():
            self._scale(deployment, by_name[name], size)
        if not sizes:
            self._clean(deployment, old)

    def _scale_active(self, deployment: Object, new: Object | None, owned: list[Object]) -> None:
        """Scale while paused: only the one ReplicaSet that has the pods."""
        active = [item for item in owned if rollout.wanted(item)] or ([new] if new else owned[-1:])
        if len(active) == 1 and rollout.wanted(active[0]) != deployment["spec"]["replicas"]:
            self._scale(deployment, active[0], deployment["spec"]["replicas"])

    def _scale(self, deployment: Object, replicaset: Object, size: int) -> None:
        before = rollout.wanted(replicaset)

        def resize(obj: Object) -> None:
            obj["spec"]["replicas"] = size

        self.registry.modify(resources.REPLICASETS, replicaset["metadata"]["namespace"], name_of(replicaset), resize)
        way = "up" if size > before else "down"
        self._events.say(
            deployment, "ScalingReplicaSet", f"Scaled {way} replica set {name_of(replicaset)} from {before} to {size}"
        )

    def _clean(self, deployment: Object, old: list[Object]) -> None:
        idle = [item for item in old if not rollout.wanted(item) and not (item.get("status") or {}).get("replicas")]
        idle.sort(key=lambda item: int(item["metadata"].get("annotations", {}).get(REVISION, 0)))
        for item in idle[: max(0, len(idle) - deployment["spec"]["revisionHistoryLimit"])]:
            self.registry.delete(resources.REPLICASETS, item["metadata"]["namespace"], name_of(item), DeleteOptions())

    def _write_status(self, deployment: Object, new: Object | None, status: Object) -> float | None:
        namespace, name = deployment["metadata"]["namespace"], name_of(deployment)
        every = [item for item in self.store.list(resources.REPLICASETS, namespace) if owned_by(item, deployment)]
        current = next((item for item in every if new and uid_of(item) == uid_of(new)), None)
        before = deployment.get("status") or {}
        conditions = status.get("conditions") or []
        status = rollout.counts(deployment, current, every) | {"conditions": conditions}
        _, unavailable = rollout.surge_and_unavailable(deployment)
        if status.get("availableReplicas", 0) >= deployment["spec"]["replicas"] - unavailable:
            rollout.set_condition(
                status, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
            )
        else:
            rollout.set_condition(
                status,
                "Available",
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        failed = next((found for item in every if (found := condition(item, "ReplicaFailure"))), None)
        if failed:
            rollout.set_condition(status, "ReplicaFailure", "True", failed["reason"], failed["message"])
        else:
            rollout.drop_condition(status, "ReplicaFailure")
        again = None
        if current is not None and not deployment["spec"].get("paused"):
            again = rollout.progress(deployment, current, before, status)

        def write(obj: Object) -> None:
            obj["status"] = status

        self.registry.modify(resources.DEPLOYMENTS, namespace, name, write, status=True)
        return again


def owner_reference(owner: Object) -> Object:
    """Return the reference of a controller to what it owns."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }
