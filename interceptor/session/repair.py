"""Takes back what nobody looks after any more, from what is stored in the cluster alone; `interceptor restore` calls it.

For the cases that no agent heals: a session without a guard, agents that never started, a cluster that was down. A
holder whose client lives is refused, unless forced: it sees the swap go, ends by itself and says so.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Conflict, Forbidden, NotFound
from interceptor.kube.resources import JOBS, LEASES
from interceptor.session import holdings
from interceptor.session.access import open_cluster
from interceptor.session.debug import leftovers
from interceptor.session.events import Event, Teller
from interceptor.session.exchange import see_restored
from interceptor.session.holding import Holding
from interceptor.session.log_heal import heal
from interceptor.session.options import Access
from interceptor.workload import life
from interceptor.workload.change import forget_revision, undo_swap
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.names import object_name
from interceptor.workload.policy import is_policy, undo_policy
from interceptor.workload.stand_in import stood_in_by

ROLLOUT_TIME = 300.0
AT_ONCE = 4  # workloads that are restored beside each other

_FORCE = "ask them to stop; `interceptor restore --force` takes it from them"


class StillHeld(InterceptorError):
    """Its holder's client lives: theirs to end."""

    def __init__(self, holding: Holding) -> None:
        super().__init__(
            f"{holding.workload} is held by {holding.holder} since {holding.since}, and their client lives", hint=_FORCE
        )


async def repair(wanted: str, typed: Access, teller: Teller, *, force: bool = False) -> int:
    """Restore one workload; 0 also when there was nothing to do."""
    async with open_cluster(typed) as cluster:
        await _heal_levels(cluster, teller)
        with teller.busy(f"looking at {wanted}"):
            policy = await holdings.find_policy(cluster, wanted)
            if policy is not None:
                await end(cluster, policy, teller, force=force)
                return 0
            holding = await holdings.find_one(cluster, wanted)
            debugged = await leftovers.end_one(cluster, wanted, teller, force=force)
        if not holding.session and debugged:
            return 0
        if not holding.session:
            teller.tell(Event("note", f"{holding.workload} is not intercepted: nothing to restore"))
            return 0
        if holding.taker is not None and not force:
            raise life.AlreadyIntercepted(holding.taker, hint=_FORCE)
        await end(cluster, holding, teller, force=force)
        return 0


async def repair_all(typed: Access, teller: Teller, *, everywhere: bool = False, force: bool = False) -> int:
    """Restore every workload of the namespace (or of all), and remove what sessions left. Goes on after a refusal."""
    async with open_cluster(typed) as cluster:
        await _heal_levels(cluster, teller)
        with teller.busy("listening for the holders"):
            where = None if everywhere else cluster.namespace
            found = await holdings.find(cluster, where)
            debugged, refused = await leftovers.end_all(cluster, where, teller, force=force)
        for text in found.unknown:
            teller.tell(Event("note", f"not seen: {text}"))
        if not found.sessions and not debugged:
            teller.tell(Event("note", "nothing is intercepted: nothing to restore"))
            return 0
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(holding: Holding) -> InterceptorError | None:
            async with gate:
                try:
                    await end(cluster, holding, teller, force=force)
                except InterceptorError as error:
                    teller.tell(Event("note", f"{holding.namespace}: {error}"))
                    return error
            return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(holding), name=f"restore {holding.session}") for holding in found.sessions]
        failed = [*refused, *(error for task in tasks if (error := task.result()) is not None)]
        if failed:
            what = "; ".join(error.message for error in failed)
            raise InterceptorError(
                f"{len(failed)} of {len(tasks) + debugged} were not restored: {what}", hint=failed[0].hint
            )
        return 0


async def _heal_levels(cluster: Cluster, teller: Teller) -> None:
    """Log levels of proxies that a killed `log-level` of this machine left raised."""
    for text in await heal(cluster):
        teller.tell(Event("note", text))


async def end(cluster: Cluster, holding: Holding, teller: Teller, *, force: bool) -> None:
    """Put back one workload and remove its session. Raises StillHeld."""
    began = time.monotonic()
    if holding.alive and not force:
        raise StillHeld(holding)
    if holding.damaged:
        raise InterceptorError(f"{holding.workload}: {holding.leftover}", hint="put it back from its manifest")
    if is_policy(holding.ref):
        await _end_policy(cluster, holding, teller, began)
        return
    kept: list[str] = []
    stood_in = await stood_in_by(cluster, holding.namespace, holding.session)
    if stood_in is not None:  # the session alone remembers the pod: never remove it first
        holding.ref, holding.swapped = stood_in, True
    if holding.swapped:
        assert holding.ref is not None
        undone = await undo_swap(cluster, holding.ref, holding.session)
        kept = undone.kept
        if undone.outcome == "restored":
            await _see_exchanged(cluster, holding.ref, teller)
    elif holding.job is None and holding.lease is None:
        pods = ", ".join(sorted(holding.pods))
        teller.tell(Event("note", f"session {holding.session} left only pods, which their workload replaces: {pods}"))
        return
    await _remove_session(cluster, holding, teller)
    details: dict[str, object] = {
        "namespace": holding.namespace,
        "workload": holding.workload,
        "session": holding.session,
        "kept": kept,
    }
    teller.tell(Event("restored", _words(holding, kept), time.monotonic() - began, details))


async def _end_policy(cluster: Cluster, holding: Holding, teller: Teller, began: float) -> None:
    """The same for a ServiceProfile or a route: nobody's pods have to be exchanged."""
    assert holding.ref is not None
    kept = (await undo_policy(cluster, holding.ref, holding.session)).kept if holding.swapped else []
    await _remove_session(cluster, holding, teller)
    details: dict[str, object] = {
        "namespace": holding.namespace, "workload": holding.workload, "session": holding.session, "kept": kept,
    }  # fmt: skip
    teller.tell(Event("restored", _words(holding, kept, "changed"), time.monotonic() - began, details))


def _words(holding: Holding, kept: list[str], verb: str = "intercepted") -> str:
    if not holding.swapped:
        return f"what session {holding.session} left was removed; {holding.workload} was not swapped"
    text = f"{holding.workload} is as it was before {holding.holder} {verb} it"
    return f"{text}, but for what others changed: {', '.join(kept)}" if kept else text


async def _see_exchanged(cluster: Cluster, ref: WorkloadRef, teller: Teller) -> None:
    """Wait for the restored pods. That they don't come up is told, and no reason to keep the session's objects."""
    try:
        with teller.busy(f"waiting for the restored pods of {ref.title}"):
            await see_restored(cluster, ref, ROLLOUT_TIME)
        workload = await cluster.get(ref.kind.resource, ref.namespace, ref.name)
        await forget_revision(cluster, ref, workload, ref.session)
    except NotFound:
        return  # deleted meanwhile
    except InterceptorError as error:
        teller.tell(Event("note", f"{ref.title} is restored, but its pods are not all up: {error}"))


async def _remove_session(cluster: Cluster, holding: Holding, teller: Teller) -> None:
    """The session object with what it owns; the Lease by itself too, where nothing owns it any more."""
    try:
        await cluster.delete(JOBS, holding.namespace, object_name(holding.session))
    except NotFound:
        if holding.swapped:
            teller.tell(Event("note", "the session's objects were gone already"))
    except Forbidden as error:
        teller.tell(Event("note", f"the session's objects stay: {error}"))
    if holding.lease is not None:
        metadata = holding.lease["metadata"]
        version = None if holding.alive else metadata["resourceVersion"]  # never one that somebody took meanwhile
        with suppress(NotFound, Conflict, Forbidden):
            await cluster.delete(LEASES, holding.namespace, metadata["name"], uid=metadata["uid"], version=version)
