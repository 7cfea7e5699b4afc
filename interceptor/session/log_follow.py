"""Stays with a workload's proxies while their level is raised: pods that come get the level too, all logs are passed on.

`session.log_level` runs it. A proxy is known by its pod and its container's instance: one that restarts begins with the level
it is started with, and is a new one here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from interceptor.kube import ApiError, Forbidden, NotFound, Unreachable
from interceptor.kube.resources import PODS
from interceptor.mesh.loglevel import proxies
from interceptor.mesh.loglevel.model import Sidecar, running
from interceptor.mesh.loglevel.proxies import Level
from interceptor.mesh.loglevel.syntax import Wanted
from interceptor.session.log_keep import Keep
from interceptor.workload.podlist import PodQuery, queries

if TYPE_CHECKING:
    from interceptor.session.log_level import Sink, Subject

Object = dict[str, Any]

AGAIN = 1.0  # seconds before a log stream that ended is opened again
MOST_LOGS = 100  # streams at once: an API server's patience, and a person's


class Follower:
    """One run of it."""

    def __init__(
        self, subject: Subject, levels: Sequence[Level], keep: Keep, wanted: Wanted | None, sink: Sink, *, logs: bool
    ) -> None:
        self._subject, self._keep, self._wanted, self._sink, self._logs = subject, keep, wanted, sink, logs
        self._began = time.monotonic()
        self._done = {level.sidecar.key for level in levels}
        self._following: dict[str, tuple[Sidecar, asyncio.Task[None]]] = {}  # by pod
        self._told: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        ref = self._subject.ref
        async with asyncio.TaskGroup() as group:
            for query in queries(ref, self._subject.workload):
                group.create_task(self._watch(query, group), name=f"watch pods {query.label or query.field}")

    async def _watch(self, query: PodQuery, group: asyncio.TaskGroup) -> None:
        watch = self._subject.cluster.watch(
            PODS, self._subject.ref.namespace, label_selector=query.label, field_selector=query.field
        )
        async with aclosing(watch) as events:
            async for event in events:
                if event.type == "SYNCED":
                    continue
                name = event.object["metadata"]["name"]
                sidecar = self._subject.sidecar(event.object)
                if event.type == "DELETED":
                    self._drop(name)
                elif sidecar is not None and running(event.object, sidecar):
                    self._add(sidecar, group)

    def _add(self, sidecar: Sidecar, group: asyncio.TaskGroup) -> None:
        known = self._following.get(sidecar.pod)
        if known is not None:
            if known[0].key == sidecar.key:
                return
            self._keep.gone(known[0])
            known[1].cancel()
            self._sink.note(f"the proxy of pod {sidecar.pod} has restarted")
        elif len(self._following) >= MOST_LOGS and self._logs:
            if "many" not in self._told:
                self._told.add("many")
                self._sink.note(f"only {MOST_LOGS} pods are followed at once")
            return
        task = group.create_task(self._stay_with(sidecar), name=f"the proxy of {sidecar.pod}")
        self._following[sidecar.pod] = sidecar, task

    def _drop(self, pod: str) -> None:
        """A pod is gone; the end of its log may still be on its way."""
        known = self._following.pop(pod, None)
        if known is not None:
            self._keep.gone(known[0])
            self._sink.note(f"pod {pod} is gone")

    async def _stay_with(self, sidecar: Sidecar) -> None:
        if self._wanted is not None and sidecar.key not in self._done:
            self._done.add(sidecar.key)
            await self._raise(sidecar, self._wanted)
        if self._logs:
            await self._read_log(sidecar)

    async def _raise(self, sidecar: Sidecar, wanted: Wanted) -> None:
        """Set the level of a proxy that has just appeared; it may take a moment to listen."""
        cluster, ref = self._subject.cluster, self._subject.ref
        levels = await proxies.read(cluster, [sidecar])
        for _ in range(10):
            if levels[0].problem is None or self._is_gone(sidecar):
                break
            await asyncio.sleep(AGAIN)
            levels = await proxies.read(cluster, [sidecar])
        await proxies.plan(levels, wanted)
        await self._keep.set(levels, guarded=True)
        self._sink.levels(ref.title, ref.namespace, levels)

    async def _read_log(self, sidecar: Sidecar) -> None:
        """From the moment the level was set on, through whatever interrupts the stream."""
        since = ""
        while not self._is_gone(sidecar):
            seconds = int(time.monotonic() - self._began) + 1
            lines = self._subject.cluster.follow_logs(
                sidecar.namespace, sidecar.pod, sidecar.container, since=since, seconds=seconds
            )
            try:
                async with aclosing(lines) as stream:
                    async for line in stream:
                        since = line.stamp or since
                        await self._sink.line(sidecar.pod, line)
            except (NotFound, Unreachable):
                pass  # the watch says whether it is gone, or the cluster for a while
            except ApiError as error:
                if isinstance(error, Forbidden) or error.status == 401:
                    raise
            if not self._is_gone(sidecar):
                await asyncio.sleep(AGAIN)

    def _is_gone(self, sidecar: Sidecar) -> bool:
        known = self._following.get(sidecar.pod)
        return known is None or known[0].key != sidecar.key
