"""One pod on the node: its address, volumes, containers and status, from being scheduled to being gone.

Started by `kubelet`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from interceptor.devcluster import resources
from interceptor.devcluster.node.container import Container
from interceptor.devcluster.node.podstatus import pod_status
from interceptor.devcluster.node.processes import StartError, exit_code
from interceptor.devcluster.node.volumes import MountError, Volumes, translate
from interceptor.devcluster.objects import Object, name_of, namespace_of, timestamp, uid_of
from interceptor.devcluster.resources import Resource

if TYPE_CHECKING:
    from interceptor.devcluster.node.kubelet import Kubelet

_MOUNT_RETRY = 1.0
_REFRESH = 60.0  # as often as the kubelet looks at tokens and the downward API
_OUTPUT_SHOWN = 10_000  # bytes of a probe's output kept for its event
_log = logging.getLogger(__name__)


class PodWorker:
    """The life of one pod."""

    def __init__(self, kubelet: Kubelet, pod: Object) -> None:
        self._kubelet = kubelet
        self.pod = pod
        self.store = kubelet.store
        self.images = kubelet.images
        self.processes = kubelet.processes
        self.http = kubelet.http
        self.hosts_file = kubelet.hosts_file
        self.host_ip = kubelet.host_ip
        self.name, self.namespace, self.uid = name_of(pod), namespace_of(pod), uid_of(pod)
        self.policy: str = pod["spec"]["restartPolicy"]
        self.grace: int = pod["spec"]["terminationGracePeriodSeconds"]
        self.stopping = False
        self.address = ""
        folder = kubelet.folder / "pods" / self.uid
        self.root, self.logs = folder / "root", folder / "logs"
        self._folder: Path = folder
        self.volumes = Volumes(self.store, kubelet.tokens, pod, folder / "volumes")
        self.has_init = bool(pod["spec"].get("initContainers"))
        self.init = [Container(self, spec, init=True) for spec in pod["spec"].get("initContainers") or ()]
        self.containers = [Container(self, spec, init=False) for spec in pod["spec"]["containers"]]
        self.started_at = timestamp()
        self.scheduled = False
        self.initialized = not self.has_init
        self._stop_asked = asyncio.Event()
        self._refresh_asked = asyncio.Event()

    def container(self, name: str) -> Container | None:
        """Return a container by name, the first one for ""."""
        every = [*self.containers, *self.init]
        return every[0] if not name else next((item for item in every if item.name == name), None)

    def event(self, reason: str, message: str, kind: str = "Normal", field: str = "") -> None:
        """Record an event about the pod."""
        self._kubelet.events.say(self.pod, reason, message, kind=kind, field=field)

    async def run(self) -> None:
        """Run the pod until it has been deleted and has ended."""
        self.address = self._kubelet.addresses.take()
        try:
            for folder in (self.root, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            self.event("Scheduled", f"Successfully assigned {self.namespace}/{self.name} to {self._kubelet.node}")
            self.scheduled = True
            self.publish()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stop(), name=f"stop {self.name}")
                living = group.create_task(self._live(), name=f"live {self.name}")
                living.add_done_callback(lambda _: self.publish())
        finally:
            for container in (*self.init, *self.containers):
                container.hurry()
            self._kubelet.addresses.give_back(self.address)
            shutil.rmtree(self._folder, ignore_errors=True)
        self._kubelet.finish(self.pod)

    async def _live(self) -> None:
        if not await self._mount():
            return
        async with asyncio.TaskGroup() as group:
            refreshing = group.create_task(self._keep_fresh(), name=f"volumes {self.name}")
            try:
                for container in self.init:
                    await container.run()
                    if self.stopping or not container.succeeded:
                        return
                self.initialized = True
                for container in self.containers:
                    container.state = {"waiting": {"reason": "ContainerCreating"}}
                async with asyncio.TaskGroup() as running:
                    for container in self.containers:
                        running.create_task(container.run(), name=f"container {self.name}/{container.name}")
            finally:
                refreshing.cancel()

    async def _mount(self) -> bool:
        """Set up the volumes; False when the pod stops first."""
        while not self.stopping:
            try:
                self.volumes.refresh(self.pod)
                return True
            except MountError as error:
                self.event("FailedMount", str(error), "Warning")
            try:
                async with asyncio.timeout(_MOUNT_RETRY):
                    await self._stop_asked.wait()
            except TimeoutError:
                continue
        return False

    async def _keep_fresh(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_REFRESH):
                    await self._refresh_asked.wait()
            except TimeoutError:
                pass
            self._refresh_asked.clear()
            try:
                self.volumes.refresh(self.pod)
            except MountError as error:
                _log.info("volumes of %s stay as they are: %s", self.name, error)

    def data_changed(self, resource: Resource, namespace: str, name: str) -> None:
        """Hear that a Secret or ConfigMap changed."""
        if namespace == self.namespace and self.volumes.uses(resource, name):
            self._refresh_asked.set()

    def pod_changed(self, pod: Object) -> None:
        """Hear that the pod's object changed."""
        self.pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            grace = pod["metadata"].get("deletionGracePeriodSeconds", self.grace)
            if self.stopping and grace < self.grace:
                for container in (*self.init, *self.containers):
                    container.hurry()
            self.grace = grace
            self.stopping = True
            self._stop_asked.set()

    def pod_removed(self) -> None:
        """Hear that the object is gone (deleted by force): end without delay."""
        self.grace = 0
        self.stopping = True
        for container in (*self.init, *self.containers):
            container.hurry()
        self._stop_asked.set()

    async def _stop(self) -> None:
        await self._stop_asked.wait()
        async with asyncio.TaskGroup() as group:
            for container in (*self.init, *self.containers):
                group.create_task(container.stop(self.grace), name=f"stop {self.name}/{container.name}")

    async def run_in(self, container: Container, command: list[str]) -> tuple[int, str]:
        """Run a command in a container (probe, hook): exit code and output."""
        if container.launch is None:
            return 1, "container not running"
        read, write = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        launch = container.launch
        try:
            process = await self.processes.spawn(
                translate(command, launch.mounts), launch.env, launch.cwd, (nothing, write, write)
            )
        except StartError as error:
            os.close(read)
            return 126, str(error)
        finally:
            os.close(write)
            os.close(nothing)
        container.attached.add(process)
        try:
            status = await process.wait()
            os.set_blocking(read, False)
            try:
                output = os.read(read, _OUTPUT_SHOWN)
            except BlockingIOError:
                output = b""
            return exit_code(status), output.decode(errors="replace")
        finally:
            os.close(read)
            process.kill_all()
            container.attached.discard(process)

    def publish(self) -> None:
        """Write the pod's status."""
        current = self.store.get(resources.PODS, self.namespace, self.name)
        if current is not None and uid_of(current) == self.uid:
            self._kubelet.write_status(current, pod_status(self, current.get("status") or {}))
