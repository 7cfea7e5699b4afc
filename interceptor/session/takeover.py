"""Ends somebody else's session so that ours can begin; `intercept --take-over` calls it before it looks at the workload.

The lock changes hands first, in one write that only succeeds while it is still held by whom we saw: of two who try at
once, one wins. The former holder's client finds that out at its next renewal, says who took it over, and ends in order:
it restores the workload and hands its callers on, as at any end. Where it doesn't, or is gone, that is done here, from
what is stored in the cluster. Then the lock is given back for a moment, and the intercept begins like any other.

While this lasts, the lock is renewed and owned by a session object with a deadline of its own: if we die, it goes, and
the former session's agents, which saw no swap of another's yet, restore what they must.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from interceptor.kube import Cluster, Forbidden, NotFound
from interceptor.kube.resources import JOBS
from interceptor.session import repair
from interceptor.session.events import Event, Teller
from interceptor.session.holding import Holding
from interceptor.session.holdings import find_one
from interceptor.session.plan import holder
from interceptor.swap import record_of
from interceptor.workload import lease, life, objects
from interceptor.workload.names import new_session, object_name
from interceptor.workload.objects import SessionNames

Confirm = Callable[[str], Awaitable[bool]]

END_WITHIN = 15.0  # seconds for a living client to take its swap back; ending COMMAND may take it seven
EXCHANGE_WITHIN = 130.0  # and to see its pods exchanged
DEADLINE = 600  # of our session object meanwhile
LOOK_EVERY = 0.25

_TWICE = "to end a living holder's session give --take-over twice"


async def take_over(cluster: Cluster, target: str, times: int, teller: Teller, confirm: Confirm | None = None) -> None:
    """End the session that holds the target, if there is one. A living holder's only after `confirm`, or asked twice."""
    with teller.busy(f"listening for the holder of {target}"):
        holding = await find_one(cluster, target)
    if holding.taker is not None:
        raise life.AlreadyIntercepted(holding.taker, hint=_TWICE)
    if not holding.session or holding.ref is None:
        return
    if holding.alive and times < 2 and not (confirm is not None and await confirm(_question(holding))):
        assert holding.lease is not None
        raise life.AlreadyIntercepted(holding.lease, hint=_TWICE)
    teller.tell(
        Event("note", f"taking {holding.workload} over from {holding.holder}, who held it since {holding.since}")
    )
    names = SessionNames(new_session(holding.ref.name), holding.namespace, holding.ref.name, holding.ref.kind)
    try:
        job = await cluster.create(JOBS, names.namespace, objects.job(names, DEADLINE))
        await _end(cluster, names, objects.owner_reference(job), holding, teller)
    finally:
        with suppress(NotFound, Forbidden):  # so may creating it have been, which is what to tell; it has a deadline
            await cluster.delete(JOBS, names.namespace, names.object)


def _question(holding: Holding) -> str:
    return (
        f"{holding.workload} is held by {holding.holder} since {holding.since}, and their client lives. Take it over?"
    )


async def _end(cluster: Cluster, names: SessionNames, owner: objects.Object, holding: Holding, teller: Teller) -> None:
    """With the lock in hand."""
    if holding.lease is None:
        held = await lease.acquire(cluster, names, owner, holder())
    else:
        held = await lease.take(cluster, names, owner, holder(), holding.lease)
    try:
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(held.keep(), name="renew the lease")
            try:
                if holding.alive:
                    with teller.busy(f"waiting for {holding.holder} to end"):
                        await _until_ended(cluster, holding)
                holding.lease, holding.alive = None, False  # the lock is ours
                if holding.swapped or holding.job is not None:
                    await repair.end(cluster, holding, teller, force=True)
            finally:
                renewing.cancel()
    except ExceptionGroup as failed:  # the lock was lost, or the cluster: one reason is enough
        raise failed.exceptions[0] from None
    finally:
        await held.release()


async def _until_ended(cluster: Cluster, holding: Holding) -> None:
    """Return when the client has restored and tidied up, or has had its time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() < began + END_WITHIN and await _is_swapped(cluster, holding):  # noqa: ASYNC110  another's doing
        await asyncio.sleep(LOOK_EVERY)
    if await _is_swapped(cluster, holding):
        return
    holding.swapped = False
    while loop.time() < began + EXCHANGE_WITHIN:
        try:
            holding.job = await cluster.get(JOBS, holding.namespace, object_name(holding.session))
        except NotFound:
            holding.job = None
            return
        await asyncio.sleep(LOOK_EVERY)


async def _is_swapped(cluster: Cluster, holding: Holding) -> bool:
    assert holding.ref is not None
    try:
        found = await cluster.get(holding.ref.resource, holding.namespace, holding.ref.object)
    except NotFound:
        return False
    record = record_of(found)
    return record is not None and record.session == holding.session
