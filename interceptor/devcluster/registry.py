"""The operations on stored objects: create, update, delete with everything the API server does on the way.

Called by `api.handlers` for requests (after authorization) and by controllers and kubelet for their own writes.
Everything here is synchronous: between reading and storing nothing else runs, which is what makes the preconditions
hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from interceptor.devcluster import defaults, resources, validate
from interceptor.devcluster.admission import Admission
from interceptor.devcluster.normal import normal_object
from interceptor.devcluster.objects import Object, clone, deleting, later, name_of, new_uid, suffix, timestamp, uid_of
from interceptor.devcluster.resources import Resource
from interceptor.devcluster.status import (
    MODIFIED,
    ApiError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
    wrong_identity,
)
from interceptor.devcluster.store import Store

_SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """The body or query of a DELETE."""

    grace: int | None = None
    propagation: str | None = None
    uid: str | None = None
    version: str | None = None
    dry_run: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


class Registry:
    """The store with the API's rules in front of it."""

    def __init__(self, store: Store, admission: Admission) -> None:
        self.store = store
        self._admission = admission

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return one object (shared, not to be changed) or raise 404."""
        found = self.store.get(resource, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    def create(self, resource: Resource, namespace: str, obj: Object, *, dry_run: bool = False) -> Object:
        """Store a new object."""
        obj = normal_object(clone(obj))
        metadata = obj["metadata"]
        if resource.namespaced:
            if metadata.get("namespace", namespace) != namespace:
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + suffix()
        if metadata.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        for name in _SYSTEM_FIELDS:
            metadata.pop(name, None)
        metadata |= {"uid": new_uid(), "creationTimestamp": timestamp()}
        if resource.generation:
            metadata["generation"] = 1
        obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
        if "status" in resource.subresources:
            obj.pop("status", None)
        defaults.default(obj)
        defaults.first_status(obj)
        validate.check(resource, obj)
        if self.store.get(resource, metadata.get("namespace", ""), metadata["name"]):
            raise already_exists(resource, metadata["name"])
        self._admission.create(self.store, resource, obj)
        if resource is resources.JOBS:
            defaults.job_identity(obj)
        return obj if dry_run else self.store.put(resource, obj)

    def update(
        self, resource: Resource, old: Object, new: Object, *, status: bool = False, dry_run: bool = False
    ) -> Object:
        """Store a changed object; `old` is what the change was made from and must be the current one."""
        new = normal_object(clone(new))
        name, metadata = name_of(old), new["metadata"]
        asked = metadata.get("resourceVersion")
        if asked and asked != old["metadata"]["resourceVersion"]:
            raise conflict(resource, name, MODIFIED)
        if metadata.get("uid", uid_of(old)) != uid_of(old):
            raise conflict(
                resource,
                name,
                f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {uid_of(old)}",
            )
        if metadata.get("name", name) != name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        new |= {"apiVersion": resource.api_version, "kind": resource.kind}
        for key in ("name", "namespace", "resourceVersion", *_SYSTEM_FIELDS):
            if key in old["metadata"]:
                metadata[key] = old["metadata"][key]
            else:
                metadata.pop(key, None)
        if status:
            new = self._status_only(resource, old, new)
        else:
            if "status" in resource.subresources:
                new.pop("status", None)
                if "status" in old:
                    new["status"] = old["status"]
            defaults.default(new)
            self._admission.update(resource, old, new)
            validate.check(resource, new)
            validate.check_update(resource, old, new)
            if resource.generation and _counts(resource, old, new):
                metadata["generation"] = old["metadata"].get("generation", 1) + 1
        if new == old:
            return old
        if dry_run:
            return new
        new["metadata"] = dict(new["metadata"])
        held = new["metadata"].get("finalizers") or resource in (resources.PODS, resources.NAMESPACES)
        if deleting(new) and not held:
            self.store.remove(resource, metadata.get("namespace", ""), name)
            return new
        return self.store.put(resource, new)

    @staticmethod
    def _status_only(resource: Resource, old: Object, new: Object) -> Object:
        """Take the status from `new`, the rest from `old`; of a Deployment also annotations, as its controller needs it."""
        metadata = dict(old["metadata"])
        if resource is resources.DEPLOYMENTS and new["metadata"].get("annotations"):
            metadata["annotations"] = new["metadata"]["annotations"]
        return {**old, "metadata": metadata} | ({"status": new["status"]} if "status" in new else {})

    def modify(
        self, resource: Resource, namespace: str, name: str, change: Callable[[Object], None], *, status: bool = False
    ) -> Object | None:
        """Change the current object by a function; None when it is gone. For controllers."""
        old = self.store.get(resource, namespace, name)
        if old is None:
            return None
        new = clone(old)
        change(new)
        return self.update(resource, old, new, status=status)

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Object, bool]:
        """Delete or mark for deletion; return the object and whether it is gone already."""
        old = self.get(resource, namespace, name)
        metadata = old["metadata"]
        for what, key, asked, happened in (
            ("UID", "uid", options.uid, "deleted and then recreated"),
            ("ResourceVersion", "resourceVersion", options.version, "modified"),
        ):
            if asked and asked != metadata[key]:
                raise wrong_identity(resource, name, what, asked, metadata[key], happened)
        grace = self._grace(resource, old, options.grace)
        finalizers = self._finalizers(resource, old, options.propagation)
        if options.dry_run:
            return old, True
        held = bool(finalizers) or grace > 0 or (resource is resources.NAMESPACES)
        if not held:
            self.store.remove(resource, namespace, name)
            return old, True
        new = clone(old)
        if finalizers:
            new["metadata"]["finalizers"] = finalizers
        else:
            new["metadata"].pop("finalizers", None)
        sooner = grace < metadata.get("deletionGracePeriodSeconds", grace + 1)
        if not deleting(old) or (resource is resources.PODS and sooner):
            new["metadata"]["deletionTimestamp"] = later(grace)
            new["metadata"]["deletionGracePeriodSeconds"] = grace
            if resource.generation:
                new["metadata"]["generation"] = metadata.get("generation", 1) + 1
        if resource is resources.NAMESPACES:
            new.setdefault("status", {})["phase"] = "Terminating"
        return (old if new == old else self.store.put(resource, new)), False

    def finish(self, resource: Resource, obj: Object) -> None:
        """Remove an object for good, if it is still the same one. For the kubelet and the namespace controller."""
        namespace = obj["metadata"].get("namespace", "")
        current = self.store.get(resource, namespace, name_of(obj))
        if current is not None and uid_of(current) == uid_of(obj):
            if current["metadata"].get("finalizers"):
                self.modify(resource, namespace, name_of(obj), _no_grace)
            else:
                self.store.remove(resource, namespace, name_of(obj))

    @staticmethod
    def _grace(resource: Resource, obj: Object, asked: int | None) -> int:
        if resource is not resources.PODS:
            return 0
        if not obj["spec"].get("nodeName") or (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return 0
        grace: int = obj["spec"].get("terminationGracePeriodSeconds", 30) if asked is None else asked
        return max(grace, 0)

    @staticmethod
    def _finalizers(resource: Resource, obj: Object, propagation: str | None) -> list[str]:
        if propagation not in (None, "Background", "Foreground", "Orphan"):
            words = f'Unsupported value: "{propagation}": supported values: "Foreground", "Background", "Orphan", "nil"'
            raise invalid(resource, name_of(obj), [("FieldValueNotSupported", "propagationPolicy", words)])
        kept = list(obj["metadata"].get("finalizers") or ())
        if propagation is None and resource is resources.JOBS and not kept:
            propagation = "Orphan"  # batch/v1 keeps this default for old clients' sake
        if propagation is not None:
            kept = [item for item in kept if item not in ("foregroundDeletion", "orphan")]
        if propagation == "Foreground":
            kept.append("foregroundDeletion")
        elif propagation == "Orphan":
            kept.append("orphan")
        return kept


def _counts(resource: Resource, old: Object, new: Object) -> bool:
    """Tell whether a change makes a new generation."""
    if resource is resources.DEPLOYMENTS and old["metadata"].get("annotations") != new["metadata"].get("annotations"):
        return True
    return bool(old.get("spec") != new.get("spec"))


def _no_grace(obj: Object) -> None:
    obj["metadata"]["deletionGracePeriodSeconds"] = 0


__all__ = ["ApiError", "DeleteOptions", "Registry"]
