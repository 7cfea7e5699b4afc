"""Takes back a swap whose client is gone, from what is stored in the cluster alone; `interceptor restore` calls it.

For the cases that no agent heals: a session without a guard, agents that never started, a cluster that was down.
"""

from __future__ import annotations

import asyncio
import time

from interceptor.kube import Cluster, NotFound
from interceptor.kube.resources import JOBS, LEASES
from interceptor.session.access import open_cluster
from interceptor.session.events import Event, Teller
from interceptor.session.options import Access
from interceptor.swap import record_of
from interceptor.workload import target
from interceptor.workload.change import forget_revision, undo_swap
from interceptor.workload.lease import AlreadyIntercepted
from interceptor.workload.names import lease_name, object_name
from interceptor.workload.rollout import wait_rolled_out

SIGN_OF_LIFE = 2.5  # seconds; a client renews every second
LOOK_EVERY = 0.25
ROLLOUT_TIME = 300.0


async def repair(wanted: str, typed: Access, teller: Teller) -> int:
    """Restore one workload; 0 also when there was nothing to do. Refuses while the holder's client lives."""
    client = open_cluster(typed)
    began = time.monotonic()
    async with client as cluster:
        workload = await target.resolve(cluster, cluster.namespace, wanted)
        name, namespace = workload["metadata"]["name"], cluster.namespace
        record = record_of(workload)
        if record is None:
            teller.tell(Event("note", f"deploy/{name} is not intercepted: nothing to restore"))
            return 0
        with teller.busy(f"listening for {record.holder}"):
            await _refuse_if_alive(cluster, namespace, name)
        undone = await undo_swap(cluster, namespace, name, record.session)
        with teller.busy("waiting for the restored pods"):
            await wait_rolled_out(cluster, namespace, name, within=ROLLOUT_TIME)
        await forget_revision(cluster, namespace, workload, record.session)
        try:
            await cluster.delete(JOBS, namespace, object_name(record.session))
        except NotFound:
            teller.tell(Event("note", "the session's objects were gone already"))
        text = f"deploy/{name} is as it was before {record.holder} intercepted it"
        if undone.kept:
            text += f", but for what others changed: {', '.join(undone.kept)}"
        teller.tell(Event("restored", text, time.monotonic() - began, {"kept": undone.kept, "session": record.session}))
        return 0


async def _refuse_if_alive(cluster: Cluster, namespace: str, name: str) -> None:
    """A holder whose Lease moves is alive: theirs to end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SIGN_OF_LIFE
    try:
        before = await cluster.get(LEASES, namespace, lease_name("Deployment", name))
        while loop.time() < deadline:
            await asyncio.sleep(LOOK_EVERY)
            now = await cluster.get(LEASES, namespace, lease_name("Deployment", name))
            if before["metadata"]["resourceVersion"] != now["metadata"]["resourceVersion"]:
                raise AlreadyIntercepted(name, now)
    except NotFound:
        return
