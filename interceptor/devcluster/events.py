"""Records what happened to an object as Events, the way controllers and kubelet do.

A repeated event is counted, not stored again.
"""

from __future__ import annotations

from interceptor.devcluster import resources
from interceptor.devcluster.objects import Object, name_of, namespace_of, suffix, timestamp, uid_of
from interceptor.devcluster.registry import Registry
from interceptor.devcluster.status import ApiError

_KEPT = 500  # events in the cluster; the oldest go first


class Recorder:
    """Writes Events of one component."""

    def __init__(self, registry: Registry, component: str) -> None:
        self._registry = registry
        self._component = component

    def say(self, obj: Object, reason: str, message: str, *, kind: str = "Normal", field: str = "") -> None:
        """Record one event about `obj` (a container of it, when `field` names one)."""
        namespace = namespace_of(obj) or "default"
        store = self._registry.store
        about = {
            "kind": obj["kind"],
            "namespace": namespace_of(obj),
            "name": name_of(obj),
            "uid": uid_of(obj),
            "apiVersion": obj["apiVersion"],
            "resourceVersion": obj["metadata"]["resourceVersion"],
        }
        if field:
            about["fieldPath"] = field
        for old in store.list(resources.EVENTS, namespace):
            same = (
                old["involvedObject"].get("uid") == about["uid"] and old["involvedObject"].get("fieldPath", "") == field
            )
            if same and old["reason"] == reason and old["message"] == message:
                self._registry.modify(resources.EVENTS, namespace, name_of(old), _again)
                return
        now = timestamp()
        event: Object = {
            "metadata": {"name": f"{name_of(obj)}.{suffix(16)}"},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._component},
            "reportingComponent": self._component,
        }
        events = store.list(resources.EVENTS)
        if len(events) >= _KEPT:
            oldest = min(events, key=lambda item: int(item["metadata"]["resourceVersion"]))
            store.remove(resources.EVENTS, namespace_of(oldest), name_of(oldest))
        try:
            self._registry.create(resources.EVENTS, namespace, event)
        except ApiError as error:
            if error.code not in (403, 404):  # the namespace is going: nobody will read it
                raise


def _again(event: Object) -> None:
    event["count"] = event.get("count", 1) + 1
    event["lastTimestamp"] = timestamp()
