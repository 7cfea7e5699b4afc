"""The objects, their versions and their past, in memory; `registry` writes, controllers and watches listen.

One counter is the resourceVersion of everything. The past is a bounded ring: a watch from before it gets 410, as with
etcd. Stored objects are never changed in place: a change stores a new object, so readers may keep what they were given.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from interceptor.devcluster.objects import Object, name_of, namespace_of
from interceptor.devcluster.resources import Resource
from interceptor.devcluster.status import gone

HISTORY = 2048  # changes kept for watches that resume
BACKLOG = 1024  # changes a slow watcher may be behind before it is ended

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the object after it (before it, for a deletion, with the deletion's version)."""

    kind: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: Resource
    obj: Object
    previous: Object | None
    version: int


class Feed:
    """What one watcher still has to read; `broken` once it fell too far behind, `ended` once it was cut."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque()
        self._more = asyncio.Event()
        self.broken = False
        self.ended = False

    def end(self) -> None:
        """Tell the watcher that it is over."""
        self.ended = True
        self._more.set()

    def push(self, change: Change) -> None:
        """Add a change; a reader that is too far behind loses the feed instead of the server its memory."""
        if len(self._changes) >= BACKLOG:
            self.broken = True
            self._changes.clear()
        elif not self.broken:
            self._changes.append(change)
        self._more.set()

    async def take(self) -> list[Change]:
        """Wait for changes and return all there are; none when the feed is broken or ended."""
        await self._more.wait()
        self._more.clear()
        changes = list(self._changes)
        self._changes.clear()
        return changes


class Store:
    """All objects by resource, then by (namespace, name)."""

    def __init__(self) -> None:
        self.version = 1000
        self.oldest = 1000
        self._tables: dict[Resource, dict[Key, Object]] = {}
        self._history: deque[Change] = deque()
        self._feeds: dict[Feed, Resource] = {}
        self._listeners: list[Callable[[Change], None]] = []

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return one object, not to be changed."""
        return self._tables.get(resource, {}).get((namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        """Return a resource's objects, of one namespace or all, in the order of their names."""
        table = self._tables.get(resource, {})
        return [table[key] for key in sorted(table) if not namespace or key[0] == namespace]

    def put(self, resource: Resource, obj: Object) -> Object:
        """Store an object under a new version; the caller gives it away."""
        key = (namespace_of(obj), name_of(obj))
        table = self._tables.setdefault(resource, {})
        previous = table.get(key)
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        table[key] = obj
        self._publish(Change("MODIFIED" if previous else "ADDED", resource, obj, previous, self.version))
        return obj

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Forget an object."""
        previous = self._tables[resource].pop((namespace, name))
        self.version += 1
        metadata = previous["metadata"] | {"resourceVersion": str(self.version)}
        self._publish(Change("DELETED", resource, previous | {"metadata": metadata}, previous, self.version))

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` with every change; it must not block or write."""
        self._listeners.append(listener)

    @contextmanager
    def feed(self, resource: Resource, since: int | None) -> Iterator[Feed]:
        """Open a watcher's feed, from after version `since` (None: from now)."""
        feed = Feed()
        if since is not None:
            if since < self.oldest:
                raise gone(since, self.oldest)
            for change in self._history:
                if change.version > since and change.resource == resource:
                    feed.push(change)
        self._feeds[feed] = resource
        try:
            yield feed
        finally:
            del self._feeds[feed]

    def compact(self) -> None:
        """Forget the past, as etcd's compaction does: older watches get 410."""
        self._history.clear()
        self.oldest = self.version

    def _publish(self, change: Change) -> None:
        self._history.append(change)
        if len(self._history) > HISTORY:
            self.oldest = self._history.popleft().version
        for feed, resource in self._feeds.items():
            if resource == change.resource:
                feed.push(change)
        for listener in self._listeners:
            listener(change)
