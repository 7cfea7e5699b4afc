"""One container of a pod, from its image to its end and round again; run by `pod`.

Its state (waiting, running, terminated), restarts and readiness are plain attributes that `pod` turns into
containerStatuses.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interceptor.devcluster.node.environment import ConfigError, Environment, expand
from interceptor.devcluster.node.probes import Prober
from interceptor.devcluster.node.processes import Process, StartError, exit_code
from interceptor.devcluster.node.pulling import pull
from interceptor.devcluster.node.volumes import translate
from interceptor.devcluster.objects import Object, new_uid, timestamp

if TYPE_CHECKING:
    from interceptor.devcluster.node.pod import PodWorker

_BACK_OFF_FIRST, _BACK_OFF_MOST = 10.0, 300.0
_CONFIG_RETRY = 1.0
_FORGIVEN_AFTER = 600.0  # a container that ran this long starts again without delay


@dataclass(frozen=True, slots=True)
class Launch:
    """What a running container was started with; exec uses the same."""

    env: dict[str, str]
    cwd: Path
    mounts: list[tuple[str, str]]


class Container:
    """A container of the pod's spec."""

    def __init__(self, worker: PodWorker, spec: Object, *, init: bool) -> None:
        self.worker = worker
        self.spec = spec
        self.name: str = spec["name"]
        self.init = init
        self.state: Object = {"waiting": {"reason": "PodInitializing" if worker.has_init else "ContainerCreating"}}
        self.last_state: Object = {}
        self.restarts = 0
        self.ready = False
        self.started = False
        self.identity = ""
        self.launch: Launch | None = None
        self.process: Process | None = None
        self.attached: set[Process] = set()  # exec'd processes, which end with the container
        self._back_off = 0.0
        self._stop_now = asyncio.Event()

    @property
    def log(self) -> Path:
        """The file its output goes to."""
        return self.worker.logs / f"{self.name}.{self.restarts}.log"

    @property
    def previous_log(self) -> Path:
        """The output of the run before."""
        return self.worker.logs / f"{self.name}.{self.restarts - 1}.log"

    @property
    def succeeded(self) -> bool:
        """Whether it ended with 0."""
        return bool(self.state.get("terminated", {}).get("exitCode") == 0)

    def event(self, reason: str, message: str, kind: str = "Normal") -> None:
        """Record an event about this container."""
        group = "initContainers" if self.init else "containers"
        self.worker.event(reason, message, kind, f"spec.{group}{{{self.name}}}")

    async def run(self) -> None:
        """Run until the pod stops or the restart policy says that this was it."""
        policy = "OnFailure" if self.init and self.worker.policy == "Always" else self.worker.policy
        while not self._stop_now.is_set():
            if not await pull(self) or not await self._start():
                return
            await self._live()
            if self._stop_now.is_set() or policy == "Never" or (policy == "OnFailure" and self.succeeded):
                return
            await self._wait_to_restart()

    async def _start(self) -> bool:
        """Start the process; False when the pod stops first."""
        while True:
            try:
                argv = self._prepare()
                break
            except ConfigError as error:
                self.event("Failed", f"Error: {error}", "Warning")
                self.wait_for("CreateContainerConfigError", str(error))
                if await self.stopped_within(_CONFIG_RETRY):
                    return False
        assert self.launch is not None
        self.identity = f"interceptor://{new_uid().replace('-', '')}"
        self.event("Created", f"Created container: {self.name}")
        output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            self.process = await self.worker.processes.spawn(
                argv, self.launch.env, self.launch.cwd, (nothing, output, output)
            )
        except StartError as error:
            self.process = None
            self.event("Failed", f"Error: {error}", "Warning")
            self._terminated(128, "StartError", timestamp(), str(error))
            return True
        finally:
            os.close(output)
            os.close(nothing)
        self.event("Started", f"Started container {self.name}")
        self.state = {"running": {"startedAt": timestamp()}}
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec
        self.worker.publish()
        return True

    def _prepare(self) -> list[str]:
        image = self.worker.images.find(self.spec["image"])
        assert image is not None
        base = {"PATH": self.worker.images.path(), "HOSTNAME": self.worker.name, "HOME": "/root"} | image.env
        base |= {"INTERCEPTOR_BIND": self.worker.address, "INTERCEPTOR_HOSTS": str(self.worker.hosts_file)}
        mounts = self.worker.volumes.mounts(self.spec)
        base["INTERCEPTOR_MOUNTS"] = json.dumps(dict(mounts))
        env = Environment(self.worker.store, self.worker.pod, self.spec).build(base)
        command = [expand(word, env) for word in self.spec.get("command") or ()]
        args = [expand(word, env) for word in self.spec.get("args") or ()]
        if not command:
            command = list(image.entrypoint)
            args = args or list(image.command)
        cwd = Path(translate([self.spec.get("workingDir") or ""], mounts)[0] or self.worker.root)
        self.launch = Launch(env, cwd if cwd.is_dir() else self.worker.root, mounts)
        return translate([*command, *args], mounts)

    async def _live(self) -> None:
        """Watch over the running process and its probes until it ends."""
        process = self.process
        if process is None:
            return
        if self._stop_now.is_set():
            process.kill_all()  # the pod was stopped while this was being started, when there was nobody to tell
        began = asyncio.get_running_loop().time()
        started_at = self.state["running"]["startedAt"]
        async with asyncio.TaskGroup() as group:
            probing = group.create_task(Prober(self).run(), name=f"probes {self.worker.name}/{self.name}")
            try:
                status = await process.wait()
            finally:
                probing.cancel()
        process.kill_all()
        for other in self.attached:
            other.kill_all()
        self.process = self.launch = None
        code = exit_code(status)
        self._terminated(code, "Completed" if code == 0 else "Error", started_at)
        if asyncio.get_running_loop().time() - began > _FORGIVEN_AFTER:
            self._back_off = 0.0

    async def _wait_to_restart(self) -> None:
        self.last_state = self.state
        if self._back_off:
            where = f"{self.name} in pod {self.worker.name}_{self.worker.namespace}({self.worker.uid})"
            self.event("BackOff", f"Back-off restarting failed container {where}", "Warning")
            self.wait_for("CrashLoopBackOff", f"back-off {int(self._back_off)}s restarting failed container={where}")
            if await self.stopped_within(self._back_off):
                return
        self._back_off = min(max(self._back_off * 2, _BACK_OFF_FIRST), _BACK_OFF_MOST)
        self.previous_log.unlink(missing_ok=True)
        self.restarts += 1

    async def stop(self, grace: float) -> None:
        """End it as a pod's deletion does: preStop, SIGTERM, and SIGKILL when the grace is over."""
        self._stop_now.set()
        process = self.process
        if process is None:
            return
        self.event("Killing", f"Stopping container {self.name}")
        await self.end_process(process, grace)

    async def end_process(self, process: Process, grace: float) -> None:
        """End this run of the container; the restart policy decides what comes next."""
        hook = (self.spec.get("lifecycle") or {}).get("preStop") or {}
        try:
            async with asyncio.timeout(grace if grace > 0 else 0.001):
                if "sleep" in hook:
                    await asyncio.sleep(hook["sleep"]["seconds"])
                elif "exec" in hook:
                    await self.worker.run_in(self, list(hook["exec"]["command"]))
                process.signal(signal.SIGTERM)
                await process.wait()
        except TimeoutError:
            process.kill_all()
            await process.wait()

    def hurry(self) -> None:
        """Kill at once: a second deletion with no grace."""
        self._stop_now.set()
        if self.process:
            self.process.kill_all()

    async def stopped_within(self, seconds: float) -> bool:
        """Wait; tell whether the pod stopped meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop_now.wait()
        except TimeoutError:
            return False
        return True

    def wait_for(self, reason: str, message: str) -> None:
        """Be in the state `waiting`, for a reason."""
        self.state = {"waiting": {"reason": reason, "message": message}}
        self.ready = self.started = False
        self.worker.publish()

    def _terminated(self, code: int, reason: str, started: str, message: str = "") -> None:
        ended: Object = {
            "exitCode": code,
            "reason": reason,
            "startedAt": started,
            "finishedAt": timestamp(),
            "containerID": self.identity,
        }
        if message:
            ended["message"] = message
        self.state = {"terminated": ended}
        self.ready = self.started = False
        self.worker.publish()

    def status(self) -> Object:
        """Return the containerStatuses entry."""
        status: Object = {
            "name": self.name,
            "state": self.state,
            "lastState": {"terminated": self.last_state["terminated"]} if "terminated" in self.last_state else {},
            "ready": self.succeeded if self.init else self.ready,
            "restartCount": self.restarts,
            "image": self.spec["image"],
            "imageID": f"interceptor://{self.spec['image']}" if self.identity else "",
            "started": self.started,
        }
        if self.identity:
            status["containerID"] = self.identity
        return status
