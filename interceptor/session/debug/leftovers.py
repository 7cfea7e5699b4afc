"""What debug sessions left whose client is gone, found in the cluster alone; `repair` asks here, for `interceptor restore`.

Two things can be left: the annotation of `--inject` with its record on the workload, and the session object, which owns the
copied pod of `--copy`. The second the cluster removes by itself half a minute later; here at once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Forbidden, NotFound
from interceptor.kube.resources import JOBS
from interceptor.session.debug.alive import DEBUG, HOLDER_ANNOTATION, WORKLOAD_ANNOTATION
from interceptor.session.debug.injecting import see_gone, take_back
from interceptor.session.events import Event, Teller
from interceptor.session.keeper import Stage
from interceptor.swap import SESSION_ANNOTATION
from interceptor.workload import target
from interceptor.workload.beside import MANAGED_BY
from interceptor.workload.debug_sidecar import debugged
from interceptor.workload.kinds import DAEMON_SET, DEPLOYMENT, STATEFUL_SET, WorkloadRef, ref_of
from interceptor.workload.names import object_name

Object = dict[str, Any]

_KINDS = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)  # those that `--inject` takes
_LISTEN = Stage.DEBUGGED.every + 1.5  # seconds in which a living client pushes its session object's deadline


@dataclass(slots=True)
class DebugLeft:
    """One debug session as far as the cluster shows it. `ref` is there where a workload carries its annotation."""

    namespace: str
    session: str
    title: str
    holder: str
    ref: WorkloadRef | None = None
    job: Object | None = None
    alive: bool = False


async def end_one(cluster: Cluster, wanted: str, teller: Teller, *, force: bool) -> bool:
    """Take back the annotation on one workload; False where it carries none. Raises where its client lives."""
    workload = await target.resolve(cluster, cluster.namespace, wanted)
    record = debugged(workload)
    if record is None:
        return False
    ref = ref_of(workload, cluster.namespace)
    left = DebugLeft(ref.namespace, record.session, ref.title, record.holder, ref)
    with suppress(NotFound, Forbidden):
        left.job = await cluster.get(JOBS, ref.namespace, object_name(record.session))
    await _listen(cluster, ref.namespace, [left])
    await _end(cluster, left, teller, force=force)
    return True


async def end_all(
    cluster: Cluster, namespace: str | None, teller: Teller, *, force: bool
) -> tuple[int, list[InterceptorError]]:
    """Take back everything in a namespace (None: in all); how many there were, and what was refused."""
    found = await find(cluster, namespace)
    errors: list[InterceptorError] = []
    for left in found:
        try:
            await _end(cluster, left, teller, force=force)
        except InterceptorError as error:
            teller.tell(Event("note", f"{left.namespace}: {error}"))
            errors.append(error)
    return len(found), errors


async def find(cluster: Cluster, namespace: str | None) -> list[DebugLeft]:
    """Every debug session with something in the cluster; waits for a sign of life where one could come."""
    found = {(left.namespace, left.session): left for left in await annotated(cluster, namespace)}
    for job in await _jobs(cluster, namespace):
        metadata = job["metadata"]
        annotations = metadata.get("annotations") or {}
        key = metadata["namespace"], str((metadata.get("labels") or {}).get(SESSION_ANNOTATION))
        title, holder = annotations.get(WORKLOAD_ANNOTATION, ""), annotations.get(HOLDER_ANNOTATION, "somebody")
        found.setdefault(key, DebugLeft(*key, title, holder)).job = job
    await _listen(cluster, namespace, list(found.values()))
    return sorted(found.values(), key=lambda left: (left.namespace, left.title))


async def annotated(cluster: Cluster, namespace: str | None) -> list[DebugLeft]:
    """The workloads that carry a debug session's record, whether its client lives or not."""
    found: list[DebugLeft] = []
    for kind in _KINDS:
        with suppress(Forbidden, NotFound):
            for item in (await cluster.list(kind.resource, namespace, metadata_only=True)).items:
                record = debugged(item)
                if record is not None:
                    ref = WorkloadRef(kind, item["metadata"]["namespace"], item["metadata"]["name"])
                    found.append(DebugLeft(ref.namespace, record.session, ref.title, record.holder, ref))
    return found


async def _jobs(cluster: Cluster, namespace: str | None) -> list[Object]:
    try:
        return (await cluster.list(JOBS, namespace, label_selector=f"{MANAGED_BY}={DEBUG}")).items
    except Forbidden:
        return []


async def _listen(cluster: Cluster, namespace: str | None, found: list[DebugLeft]) -> None:
    """A client that lives pushes its session object's deadline ahead meanwhile."""
    asked = [left for left in found if left.job is not None]
    if not asked:
        return
    await asyncio.sleep(_LISTEN)
    jobs = await _jobs(cluster, namespace)
    now = {job["metadata"]["uid"]: job["metadata"]["resourceVersion"] for job in jobs}
    for left in asked:
        assert left.job is not None
        before = left.job["metadata"]
        left.alive = now.get(before["uid"], before["resourceVersion"]) != before["resourceVersion"]


async def _end(cluster: Cluster, left: DebugLeft, teller: Teller, *, force: bool) -> None:
    if left.alive and not force:
        raise InterceptorError(
            f"{left.title} is being debugged by {left.holder}, and their client lives",
            hint="ask them to stop; `interceptor restore --force` takes it from them",
        )
    text = f"what a debug session of {left.holder} left of {left.title} is removed"
    if left.ref is not None and await take_back(cluster, left.ref, left.session):
        text = f"{left.ref.title} is as it was before {left.holder} debugged it"
        with teller.busy(f"waiting for the restored pods of {left.ref.title}"):
            await see_gone(cluster, left.ref, left.session, teller)
    with suppress(NotFound):
        await cluster.delete(JOBS, left.namespace, object_name(left.session))
    details: dict[str, object] = {"namespace": left.namespace, "workload": left.title, "session": left.session}
    teller.tell(Event("restored", text, details=details))
