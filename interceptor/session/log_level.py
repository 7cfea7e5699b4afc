"""Reads and sets the log level of a workload's mesh proxies, for good or for a while; `cli.log_level` calls `log_level`.

Look at all, say of all what to set, and only then set any: a level that one proxy doesn't know changes none. What was there
before is remembered first, here and on disk (`mesh.loglevel.record`), with a guard beside (`session.log_guard`): should this
process die, that one puts the levels back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from interceptor.errors import InterceptorError, UsageError
from interceptor.kube import Cluster
from interceptor.kube.logs import LogLine
from interceptor.kube.resources import PODS
from interceptor.mesh.loglevel import proxies
from interceptor.mesh.loglevel.model import Back, Sidecar, running, sidecar_of
from interceptor.mesh.loglevel.proxies import Level
from interceptor.mesh.loglevel.record import Change
from interceptor.mesh.loglevel.syntax import Wanted, parse
from interceptor.session.access import open_cluster
from interceptor.session.log_follow import Follower
from interceptor.session.log_heal import heal
from interceptor.session.log_keep import Keep
from interceptor.session.options import Access
from interceptor.workload import allowed, rights, target
from interceptor.workload.kinds import WorkloadRef, ref_of
from interceptor.workload.podlist import list_pods

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogLevelOptions:
    """One `interceptor log-level`."""

    target: str
    level: str = ""  # "": only look
    seconds: float = 0.0  # 0: for good, or with `follow` until cancelled
    follow: bool = False
    pod: str = ""
    admin_port: int = 0
    access: Access = field(default_factory=Access)

    @property
    def passing(self) -> bool:
        """Whether it ends with the levels as they were."""
        return self.follow or self.seconds > 0


class Sink(Protocol):
    """Who shows what is found."""

    def levels(self, workload: str, namespace: str, levels: Sequence[Level]) -> None:
        """The levels of some pods: read, or set where `now` is there. Pods that appear later come one by one."""

    async def line(self, pod: str, line: LogLine) -> None:
        """One line of a proxy's log; returns when there is room for the next."""

    def back(self, change: Change, back: Back) -> None:
        """One level was put back."""

    def note(self, text: str) -> None:
        """Anything a person wants to know."""


async def log_level(options: LogLevelOptions, sink: Sink) -> int:
    """Do it; 1 where some of the pods failed. Raises InterceptorError."""
    wanted = parse(options.level) if options.level else None
    async with open_cluster(options.access) as cluster:
        typed = target.parse(options.target)
        workload = await target.resolve(cluster, cluster.namespace, options.target)
        ref = ref_of(workload, cluster.namespace)
        pod = options.pod or (typed.name if typed.resource is PODS else "")
        needed = rights.needed_for_log_level(ref.kind, ref.name, follow=options.follow, watch=options.passing)
        if lacking := await allowed.missing(cluster, ref.namespace, needed):
            raise allowed.MissingRights(ref.namespace, lacking, rbac=f"--for {ref.title} --log-level")
        for text in await heal(cluster):
            sink.note(text)
        subject = Subject(cluster, ref, workload, pod, options.admin_port)
        found = await subject.look(sink)
        levels = await proxies.read(cluster, found)
        if all(level.problem for level in levels):
            raise levels[0].problem or InterceptorError("no proxy answered")
        if wanted is None and not options.passing:
            sink.levels(ref.title, ref.namespace, levels)
        else:
            await _change(subject, levels, wanted, options, sink)
        return 1 if any(level.problem for level in levels) else 0


@dataclass
class Subject:
    """The workload, and which of its pods."""

    cluster: Cluster
    ref: WorkloadRef
    workload: Object
    pod: str = ""
    admin_port: int = 0

    def sidecar(self, pod: Object) -> Sidecar | None:
        """The proxy of a pod that is meant, running or not."""
        if self.pod and pod["metadata"]["name"] != self.pod:
            return None
        return sidecar_of(pod, self.admin_port)

    async def look(self, sink: Sink) -> list[Sidecar]:
        """The proxies that run now. Raises InterceptorError where there is none."""
        pods = await list_pods(self.cluster, self.ref, self.workload)
        names = [pod["metadata"]["name"] for pod in pods]
        if self.pod and self.pod not in names:
            hint = f"it has: {', '.join(sorted(names)) or 'none'}"
            raise UsageError(f"{self.ref.title} has no pod {self.pod}", hint=hint)
        meant = [pod for pod in pods if not self.pod or pod["metadata"]["name"] == self.pod]
        found = [(pod, self.sidecar(pod)) for pod in meant]
        sidecars = [one for pod, one in found if one is not None and running(pod, one)]
        if sidecars:
            for pod, one in found:
                if one is None or one not in sidecars:
                    lacks = "has no mesh proxy" if one is None else "is left out: its proxy does not run"
                    sink.note(f"pod {pod['metadata']['name']} {lacks}")
            return sidecars
        here = f"-n {self.ref.namespace}"
        if not meant:
            raise InterceptorError(
                f"{self.ref.title} has no pods", hint=f"kubectl get {self.ref.title} {here} says how many it wants"
            )
        if any(one is not None for _, one in found):
            hint = f"interceptor check {self.ref.title} {here}"
            raise InterceptorError(f"no proxy of {self.ref.title} runs", hint=hint)
        what = f"pod {self.pod}" if self.pod else self.ref.title
        containers = ", ".join(container["name"] for container in meant[0]["spec"]["containers"])
        raise InterceptorError(
            f"{what} has no mesh proxy: its containers are {containers}",
            hint=f"interceptor check {self.ref.title} {here}",
        )


async def _change(
    subject: Subject, levels: Sequence[Level], wanted: Wanted | None, options: LogLevelOptions, sink: Sink
) -> None:
    """Set, stay while it is to last, and put back; what can't be put back is raised."""
    if wanted is not None:
        await proxies.plan(levels, wanted)
    keep = Keep(subject.cluster, subject.ref, options.access, sink.back)
    try:
        if wanted is not None:
            await keep.set(levels, guarded=options.passing)
        sink.levels(subject.ref.title, subject.ref.namespace, levels)
        if options.passing:
            follower = Follower(subject, levels, keep, wanted, sink, logs=options.follow)
            await _stay(follower, options.seconds)
        else:
            keep.for_good()
    finally:
        await keep.end()


async def _stay(follower: Follower, seconds: float) -> None:
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follower.run(), name="follow the pods")
        if seconds:
            await asyncio.sleep(seconds)
        else:
            await asyncio.Event().wait()
        following.cancel()
