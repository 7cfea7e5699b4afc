"""Namespaces: each has its ServiceAccount `default` and the cluster's CA; one that is deleted is emptied first."""

from __future__ import annotations

from collections.abc import Iterable

from interceptor.devcluster import resources
from interceptor.devcluster.control.loop import Controller
from interceptor.devcluster.objects import Object, deleting, name_of
from interceptor.devcluster.registry import DeleteOptions, Registry
from interceptor.devcluster.store import Change, Key

_ROOT = "kube-root-ca.crt"
_LAST = (resources.PODS, resources.EVENTS)  # controllers go before what they would make again


class Namespaces(Controller):
    """The namespace, service account and root CA controllers."""

    def __init__(self, registry: Registry, authority: bytes) -> None:
        super().__init__(registry)
        self._authority = authority.decode()

    def concerns(self, change: Change) -> Iterable[Key]:
        """A namespace, or anything that went away in one."""
        if change.resource is resources.NAMESPACES:
            yield "", name_of(change.obj)
        elif change.kind == "DELETED" and change.resource.namespaced:
            yield "", change.obj["metadata"]["namespace"]

    def reconcile(self, key: Key) -> float | None:
        """Fill a living namespace, empty a dying one."""
        namespace = self.store.get(resources.NAMESPACES, *key)
        if namespace is None:
            return None
        name = key[1]
        if deleting(namespace):
            self._empty(namespace)
            return None
        if self.store.get(resources.SERVICEACCOUNTS, name, "default") is None:
            self.registry.create(resources.SERVICEACCOUNTS, name, {"metadata": {"name": "default"}})
        if self.store.get(resources.CONFIGMAPS, name, _ROOT) is None:
            self.registry.create(
                resources.CONFIGMAPS, name, {"metadata": {"name": _ROOT}, "data": {"ca.crt": self._authority}}
            )
        return None

    def _empty(self, namespace: Object) -> None:
        name = name_of(namespace)
        first = [item for item in resources.RESOURCES if item.namespaced and item not in _LAST]
        for resource in (*first, *_LAST):
            for obj in self.store.list(resource, name):
                if not deleting(obj):
                    self.registry.delete(resource, name, name_of(obj), DeleteOptions(propagation="Background"))
        if not any(self.store.list(resource, name) for resource in resources.RESOURCES if resource.namespaced):
            self.store.remove(resources.NAMESPACES, "", name)
