"""One view of the cluster for a whole run of checks: each object or list is read once, when first asked for.

Checks run at the same time and ask for the same things; whoever asks second waits for the first one's read. Reads are
bounded in number and in time, so that a dead part of the API costs its own checks a few seconds and the others nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar, cast

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, NotFound, Resource, Unreachable

Object = dict[str, Any]
T = TypeVar("T")

AT_ONCE = 12  # each is a connection of its own, and a TLS handshake costs both ends more than a turn in the queue
WITHIN = 5.0  # seconds for one read, its retries and its turn in the queue not counted


class Facts:
    """Reads, each made once. `group` owns their tasks."""

    def __init__(self, cluster: Cluster, group: asyncio.TaskGroup, *, within: float | None = None) -> None:
        self.cluster = cluster
        self._group = group
        self._within = WITHIN if within is None else within
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._read: dict[tuple[object, ...], asyncio.Task[tuple[Any, InterceptorError | None]]] = {}

    def fresh(self) -> Facts:
        """The same cluster, nothing of it known yet."""
        return Facts(self.cluster, self._group, within=self._within)

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """One object; raises what `kube` raises."""
        return await self.once((resource, namespace, name), lambda: self.cluster.get(resource, namespace, name))

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """One object, None where there is none."""
        try:
            return await self.get(resource, namespace, name)
        except NotFound:
            return None

    async def find_all(self, resource: Resource, namespace: str | None, names: Iterable[str]) -> dict[str, Object]:
        """Those of the named objects that are there, read at the same time."""
        wanted = list(names)
        for name in wanted:
            self._begin((resource, namespace, name), partial(self.cluster.get, resource, namespace, name), self._within)
        found = {name: await self.find(resource, namespace, name) for name in wanted}
        return {name: item for name, item in found.items() if item is not None}

    async def list(self, resource: Resource, namespace: str | None, labels: str = "") -> list[Object]:
        """All objects of a namespace, or of all; of a kind that the cluster doesn't have: none."""

        async def read() -> list[Object]:
            try:
                return (await self.cluster.list(resource, namespace, label_selector=labels)).items
            except NotFound:
                return []

        return await self.once((resource, namespace, "", labels), read)

    async def once(
        self, key: tuple[object, ...], read: Callable[[], Awaitable[T]], *, within: float | None = None
    ) -> T:
        """What `read()` returned or raised the first time somebody asked for `key`; it may not ask for facts itself."""
        value, error = await asyncio.shield(self._begin(key, read, within or self._within))
        if error is not None:
            raise error
        return cast("T", value)

    async def derived(self, key: tuple[object, ...], make: Callable[[], Awaitable[T]]) -> T:
        """The same for what is made of other facts: it takes no turn, or it could wait for itself."""
        if key not in self._read:
            self._read[key] = self._group.create_task(_settled(make), name=f"make {key[0]}")
        value, error = await asyncio.shield(self._read[key])
        if error is not None:
            raise error
        return cast("T", value)

    def _begin(
        self, key: tuple[object, ...], read: Callable[[], Awaitable[Any]], within: float
    ) -> asyncio.Task[tuple[Any, InterceptorError | None]]:
        if key not in self._read:
            name = " ".join(str(part) for part in key if part)[:80]
            self._read[key] = self._group.create_task(self._outcome(read, within), name=f"read {name}")
        return self._read[key]

    async def _outcome(self, read: Callable[[], Awaitable[Any]], within: float) -> tuple[Any, InterceptorError | None]:
        async with self._gate:
            try:
                async with asyncio.timeout(within):
                    return await _settled(read)
            except TimeoutError:
                return None, Unreachable(f"no answer within {within:g} s")


async def _settled(read: Callable[[], Awaitable[Any]]) -> tuple[Any, InterceptorError | None]:
    """The outcome as a value, because an exception would end the group that all checks share."""
    try:
        return await read(), None
    except InterceptorError as error:
        return None, error
