"""The session object of a debug session that changes more than one pod's spec; `copy` and `inject` hold one.

A Job that never has a pod, as an intercept's. While this program lives it pushes the Job's deadline ahead; afterwards the
cluster removes the Job, and the copied pod that it owns, by itself. `leftovers` tells by it whether a client lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from interceptor.kube import Cluster, NotFound
from interceptor.kube.resources import JOBS
from interceptor.session.events import Teller
from interceptor.session.keeper import Keeper, Stage
from interceptor.session.plan import holder
from interceptor.session.services import Services
from interceptor.session.undo import Undo, not_taken_back
from interceptor.swap import SESSION_ANNOTATION
from interceptor.workload import objects
from interceptor.workload.beside import MANAGED_BY
from interceptor.workload.objects import SessionNames

Object = dict[str, Any]

DEBUG = "interceptor-debug"  # not "interceptor": what is left is not an intercept
HOLDER_ANNOTATION = "interceptor/holder"
WORKLOAD_ANNOTATION = "interceptor/workload"


@dataclass(frozen=True)
class DebugNames(SessionNames):
    """The names of one debug session."""

    @property
    def labels(self) -> dict[str, str]:
        """See SessionNames."""
        return {MANAGED_BY: DEBUG, SESSION_ANNOTATION: self.session}


@asynccontextmanager
async def session_object(
    cluster: Cluster, names: DebugNames, title: str, teller: Teller, undo: Undo
) -> AsyncIterator[Object]:
    """The owner reference to it, while this program lives and pushes it ahead. What was added to `undo` runs in the end."""

    async def remove() -> None:
        try:
            await cluster.delete(JOBS, names.namespace, names.object)
        except NotFound:
            return  # never created, or out of reach for too long

    async with asyncio.TaskGroup() as group:
        services = Services(group)
        keeper = Keeper(cluster, names, teller, services.end)
        undo.add("the session object", remove)
        try:
            body = objects.job(names, Stage.DEBUGGED.ahead)
            body["metadata"]["annotations"] |= {HOLDER_ANNOTATION: holder(), WORKLOAD_ANNOTATION: title}
            job = await cluster.create(JOBS, names.namespace, body)
            keeper.enter(Stage.DEBUGGED)
            services.start("push the deadline", keeper.push_deadline())
            async with asyncio.TaskGroup() as inner:
                over = inner.create_task(services.raise_when_over(), name="end of the session")
                try:
                    yield objects.owner_reference(job)
                finally:
                    over.cancel()
        finally:
            failures = await undo.run()
            services.stop()
            if failures:
                hint = f"when the cluster answers again: interceptor restore --all -n {names.namespace}"
                raise not_taken_back(failures, hint)
