"""The node's agent: one worker for each pod of the store, told of every change.

Run by `cluster`, asked by the streams.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from interceptor.devcluster import resources
from interceptor.devcluster.addresses import AddressPool
from interceptor.devcluster.admission import NODE
from interceptor.devcluster.auth.tokens import Tokens
from interceptor.devcluster.events import Recorder
from interceptor.devcluster.node.images import Images
from interceptor.devcluster.node.pod import PodWorker
from interceptor.devcluster.node.processes import Processes
from interceptor.devcluster.objects import Object, name_of, namespace_of, uid_of
from interceptor.devcluster.registry import Registry
from interceptor.devcluster.store import Change


class Kubelet:
    """All pods of the dev cluster."""

    def __init__(
        self,
        registry: Registry,
        tokens: Tokens,
        addresses: AddressPool,
        images: Images,
        processes: Processes,
        http: aiohttp.ClientSession,
        folder: Path,
        host_ip: str,
    ) -> None:
        self.registry = registry
        self.store = registry.store
        self.tokens = tokens
        self.addresses = addresses
        self.images = images
        self.processes = processes
        self.http = http
        self.folder = folder
        self.hosts_file = folder / "hosts"
        self.host_ip = host_ip
        self.node = NODE
        self.events = Recorder(registry, "kubelet")
        self._workers: dict[str, PodWorker] = {}
        self._new: asyncio.Queue[Object] = asyncio.Queue()
        self.store.listen(self._hear)

    async def run(self) -> None:
        """Run every pod's worker until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                pod = await self._new.get()
                worker = PodWorker(self, pod)
                self._workers[uid_of(pod)] = worker
                group.create_task(self._work(worker), name=f"pod {name_of(pod)}")
                if current := self.store.get(resources.PODS, namespace_of(pod), name_of(pod)):
                    worker.pod_changed(current)
                else:
                    worker.pod_removed()

    async def _work(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        finally:
            del self._workers[worker.uid]

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """Return the worker of a pod."""
        pod = self.store.get(resources.PODS, namespace, name)
        return self._workers.get(uid_of(pod)) if pod else None

    def _hear(self, change: Change) -> None:
        if change.resource is resources.PODS:
            worker = self._workers.get(uid_of(change.obj))
            if change.kind == "ADDED":
                self._new.put_nowait(change.obj)
            elif worker and change.kind == "MODIFIED":
                worker.pod_changed(change.obj)
            elif worker:
                worker.pod_removed()
        elif change.resource in (resources.SECRETS, resources.CONFIGMAPS):
            for worker in self._workers.values():
                worker.data_changed(change.resource, namespace_of(change.obj), name_of(change.obj))

    def write_status(self, pod: Object, status: Object) -> None:
        """Store a pod's status."""
        self.registry.update(resources.PODS, pod, pod | {"status": status}, status=True)

    def finish(self, pod: Object) -> None:
        """Remove a pod that has ended."""
        self.registry.finish(resources.PODS, pod)
