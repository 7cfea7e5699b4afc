"""The garbage collector: what is owned goes when its owner goes (or first, or never, as the deletion asked).

Background: dependents are deleted once the owner is gone. Foreground: the owner stays, marked, until its dependents are
gone. Orphan: dependents lose the reference and stay. An object that names an owner that doesn't exist is deleted too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from interceptor.devcluster.control.loop import Controller
from interceptor.devcluster.objects import Object, deleting, name_of, namespace_of, uid_of
from interceptor.devcluster.registry import DeleteOptions
from interceptor.devcluster.resources import RESOURCES, Resource
from interceptor.devcluster.store import Change, Key

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"


class Garbage(Controller):
    """Works on uids of owners: the key is ("", uid)."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """Owners that are gone or going, and the owners of whatever came or went."""
        metadata = change.obj["metadata"]
        if change.kind == "DELETED" or metadata.get("finalizers"):
            yield "", metadata["uid"]
        if change.kind != "MODIFIED":
            for ref in metadata.get("ownerReferences") or ():
                yield "", ref["uid"]

    def reconcile(self, key: Key) -> float | None:
        """Settle what one owner's state means for its dependents."""
        uid = key[1]
        found = self._find(uid)
        if found is None:
            for resource, obj in self._dependents(uid):
                self._owner_gone(resource, obj, uid)
            return None
        resource, owner = found
        finalizers = owner["metadata"].get("finalizers") or []
        if not deleting(owner):
            return None
        if _ORPHAN in finalizers:
            for other, obj in self._dependents(uid):
                self._release(other, obj, uid)
            self._drop(resource, owner, _ORPHAN)
        elif _FOREGROUND in finalizers:
            blocking = False
            for other, obj in self._dependents(uid):
                blocking = blocking or self._blocks(obj, uid)
                if not deleting(obj):
                    self.registry.delete(
                        other, namespace_of(obj), name_of(obj), DeleteOptions(propagation="Foreground", uid=uid_of(obj))
                    )
            if not blocking or not any(self._blocks(obj, uid) for _, obj in self._dependents(uid)):
                self._drop(resource, owner, _FOREGROUND)
        return None

    def _objects(self) -> Iterator[tuple[Resource, Object]]:
        for resource in RESOURCES:
            for obj in self.store.list(resource):
                yield resource, obj

    def _find(self, uid: str) -> tuple[Resource, Object] | None:
        return next(((resource, obj) for resource, obj in self._objects() if uid_of(obj) == uid), None)

    def _dependents(self, uid: str) -> list[tuple[Resource, Object]]:
        return [
            (resource, obj)
            for resource, obj in self._objects()
            if any(ref["uid"] == uid for ref in obj["metadata"].get("ownerReferences") or ())
        ]

    @staticmethod
    def _blocks(obj: Object, uid: str) -> bool:
        return any(
            ref["uid"] == uid and ref.get("blockOwnerDeletion") for ref in obj["metadata"].get("ownerReferences") or ()
        )

    def _owner_gone(self, resource: Resource, obj: Object, uid: str) -> None:
        others = [ref for ref in obj["metadata"]["ownerReferences"] if ref["uid"] != uid and self._find(ref["uid"])]
        if others:
            self._release(resource, obj, uid)
        elif not deleting(obj):
            options = DeleteOptions(propagation="Background", uid=uid_of(obj))
            self.registry.delete(resource, namespace_of(obj), name_of(obj), options)

    def _release(self, resource: Resource, obj: Object, uid: str) -> None:
        def release(changed: Object) -> None:
            kept = [ref for ref in changed["metadata"]["ownerReferences"] if ref["uid"] != uid]
            changed["metadata"]["ownerReferences"] = kept

        self.registry.modify(resource, namespace_of(obj), name_of(obj), release)

    def _drop(self, resource: Resource, owner: Object, finalizer: str) -> None:
        def drop(changed: Object) -> None:
            changed["metadata"]["finalizers"] = [
                item for item in changed["metadata"].get("finalizers") or () if item != finalizer
            ]

        self.registry.modify(resource, namespace_of(owner), name_of(owner), drop)
