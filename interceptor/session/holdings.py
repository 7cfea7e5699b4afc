"""Who holds what, asked of the cluster alone; `cli.list` prints it, `repair`, `status` and `takeover` begin with it.

A session shows in four places: the record on the workload (the swap), the session object, the Lease, and the pods that
run its agent. Whoever is missing while others are there is a leftover, and gets named. Whether a client lives is seen
from its Lease: it moves, or it does not; no clock is believed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Forbidden, NotFound, resources
from interceptor.kube.resources import Resource
from interceptor.session.holding import CARRIERS, POLICIES, Holding, assemble, runs_agent_of
from interceptor.swap import record_of
from interceptor.workload import life, target
from interceptor.workload.kinds import ref_of
from interceptor.workload.life import WatchedLease
from interceptor.workload.names import lease_name
from interceptor.workload.objects import OURS
from interceptor.workload.policy import POLICY_KINDS, is_policy

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Holdings:
    """All sessions, and what could not be looked at."""

    sessions: list[Holding]
    unknown: list[str]


async def find(cluster: Cluster, namespace: str | None, *, within: float = life.SIGN_OF_LIFE) -> Holdings:
    """Look at one namespace, or at all (None); waits up to `within` seconds for signs of life."""
    unknown: list[str] = []
    kinds = (*CARRIERS, resources.PODS, resources.JOBS)
    hidden: list[str] = []
    try:
        async with asyncio.TaskGroup() as group:
            watched = group.create_task(_leases(cluster, namespace, within, unknown), name="watch the leases")
            listed = {
                kind: group.create_task(_list(cluster, namespace, kind, unknown), name=f"list {kind.plural}")
                for kind in kinds
            } | {
                kind: group.create_task(_list(cluster, namespace, kind, hidden), name=f"list {kind.title()}")
                for kind in POLICIES
            }
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None  # one and the same API server for all of them
    by_kind = {kind: task.result() for kind, task in listed.items()}
    sessions = assemble(by_kind, watched.result())
    if any(is_policy(one.ref) for one in sessions):
        unknown += hidden  # who may not read them has changed none: that is news only where somebody else did
    lonely = [one for one in sessions if one.job is not None and one.lease is None and not one.swapped]
    if lonely and watched.result() is not None:
        await asyncio.sleep(within)
        jobs = {item["metadata"]["uid"]: item for item in await _list(cluster, namespace, resources.JOBS, unknown)}
        for one in lonely:
            _judge_lonely(one, jobs)
    return Holdings([one for one in sessions if one.job is not None or one not in lonely], unknown)


async def find_policy(cluster: Cluster, wanted: str) -> Holding | None:
    """What there is of a session on `serviceprofile/x`, `httproute/x`; None where it says something else."""
    kind, slash, name = wanted.partition("/")
    if not slash or kind.lower() not in {"sp", *(one.short for one in POLICY_KINDS)}:
        return None
    short = "serviceprofile" if kind.lower() == "sp" else kind.lower()
    found = await find(cluster, cluster.namespace)
    for one in found.sessions:
        if one.ref is not None and one.ref.title == f"{short}/{name}":
            return one
    raise InterceptorError(f"nobody changed {wanted} in namespace {cluster.namespace}", hint="interceptor list -A")


def _judge_lonely(holding: Holding, jobs: dict[str, Object]) -> None:
    """A session object alone may be a session's first moment, or its last: a living client pushes its deadline ahead."""
    assert holding.job is not None
    before, holding.job = holding.job["metadata"], jobs.get(holding.job["metadata"]["uid"])
    if holding.job is not None and holding.job["metadata"]["resourceVersion"] != before["resourceVersion"]:
        holding.alive, holding.leftover = True, ""


async def find_one(cluster: Cluster, wanted: str) -> Holding:
    """What there is of one workload's session, as typed; `session` is empty where there is none."""
    namespace = cluster.namespace
    workload = await target.resolve(cluster, namespace, wanted)
    record = record_of(workload)
    ref = ref_of(workload, namespace, record.session if record is not None else "")
    holding = Holding(namespace, ref.session, ref)
    if record is not None:
        holding.swapped, holding.holder, holding.since = True, record.holder, record.since
    unknown: list[str] = []
    async with asyncio.TaskGroup() as group:
        name = lease_name(ref.kind.resource.kind, ref.name)
        watched = group.create_task(life.signs_of_life(cluster, namespace, name=name), name="watch the lease")
        pods = group.create_task(_list(cluster, namespace, resources.PODS, unknown), name="list pods")
    for one in watched.result():
        session = life.session_of(one.lease)
        if not holding.session:  # nothing was swapped, or no longer: what is left of the session
            holding.session = session or ref.name
            holding.holder, holding.since = life.holder_of(one.lease), life.since_of(one.lease)
        if session in ("", holding.session):
            holding.lease, holding.alive = one.lease, one.alive
        elif one.alive:
            holding.taker = one.lease
    holding.alive = bool(holding.alive)
    holding.pods = [item["metadata"]["name"] for item in pods.result() if runs_agent_of(item) == holding.session]
    return holding


async def _leases(
    cluster: Cluster, namespace: str | None, within: float, unknown: list[str]
) -> list[WatchedLease] | None:
    try:
        return await life.signs_of_life(cluster, namespace, within=within)
    except Forbidden as error:
        unknown.append(f"who lives: {error.message}")
        return None


async def _list(cluster: Cluster, namespace: str | None, resource: Resource, unknown: list[str]) -> list[Object]:
    selector = OURS if resource is resources.JOBS else ""
    try:
        listing = await cluster.list(resource, namespace, label_selector=selector, metadata_only=True)
    except Forbidden as error:
        unknown.append(f"{resource.plural}: {error.message}")
        return []
    except NotFound:  # a cluster without that kind
        return []
    return listing.items
