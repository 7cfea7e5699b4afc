"""The workload's pods as they come and go: who runs the agent, who runs the app; `tunnels` and `intercept` wait on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interceptor.kube import Cluster
from interceptor.kube.resources import PODS
from interceptor.swap import SESSION_ANNOTATION
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.podlist import PodQuery, queries

Object = dict[str, Any]

_OVER = ("Failed", "Succeeded")


@dataclass(frozen=True, slots=True)
class Pod:
    """What matters of one pod."""

    name: str
    uid: str
    address: str  # "" before it has one
    session: str  # whose agent it runs, "" for none
    scheduled: bool  # a node has it: its agent may be up before the API server says so
    running: bool  # the chosen container has started
    ready: bool
    ending: bool
    over: bool  # it ran and never will again (evicted, completed), though its object may stay for long
    raw: Object

    @classmethod
    def of(cls, pod: Object, container: str) -> Pod:
        """Read an API object."""
        metadata, status = pod["metadata"], pod.get("status") or {}
        states = {item["name"]: item.get("state") or {} for item in status.get("containerStatuses") or []}
        conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            address=status.get("podIP", ""),
            session=(metadata.get("annotations") or {}).get(SESSION_ANNOTATION, ""),
            scheduled=bool(pod["spec"].get("nodeName")),
            running="running" in states.get(container, {}),
            ready=conditions.get("Ready") == "True",
            ending="deletionTimestamp" in metadata or status.get("phase") in _OVER,
            over=status.get("phase") in _OVER,
            raw=pod,
        )


class Pods:
    """Kept current by `watch`. Wait for a state with `until`."""

    def __init__(
        self, cluster: Cluster, ref: WorkloadRef, workload: Object, container: str, *, only: PodQuery | None = None
    ) -> None:
        self._cluster = cluster
        self._namespace = ref.namespace
        self._queries = queries(ref, workload) if only is None else (only,)
        self._container = container
        self._changed = asyncio.Event()
        self._seen: set[PodQuery] = set()
        self.by_name: dict[str, Pod] = {}

    async def watch(self) -> None:
        """Follow the cluster until cancelled."""
        async with asyncio.TaskGroup() as group:
            for query in self._queries:
                group.create_task(self._follow(query), name=f"watch pods {query.label or query.field}")

    async def _follow(self, query: PodQuery) -> None:
        watch = self._cluster.watch(PODS, self._namespace, label_selector=query.label, field_selector=query.field)
        async for event in watch:
            if event.type == "DELETED":
                self.by_name.pop(event.object["metadata"]["name"], None)
            elif event.type == "SYNCED":
                self._seen.add(query)
            else:
                pod = Pod.of(event.object, self._container)
                self.by_name[pod.name] = pod
            self.touch()

    async def until_seen(self) -> None:
        """Return when all pods that are there have been read."""
        await self.until(lambda: len(self._seen) == len(self._queries))

    def touch(self) -> None:
        """Let everybody who waits look again; also for states that others keep about these pods."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Return at the next change."""
        await self._changed.wait()

    async def until(self, true: Callable[[], bool]) -> None:
        """Return as soon as `true()`; it is asked after each change."""
        while not true():
            await self._changed.wait()

    def agents(self, session: str) -> list[Pod]:
        """Pods that run this session's agent and are not ending."""
        return [pod for pod in self.by_name.values() if pod.session == session and not pod.ending]

    def restored(self) -> list[Pod]:
        """Ready pods that run the app itself."""
        return [pod for pod in self.by_name.values() if not pod.session and pod.ready and not pod.ending]
