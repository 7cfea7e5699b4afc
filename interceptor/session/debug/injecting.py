"""`--inject`: Linkerd's own debug sidecar, asked for by an annotation on the workload's template; `run` holds it.

The injector adds the container to new pods only, so this rolls the pods, and once more at the end. What the annotation
replaced is kept on the workload by the same patch: `take_back` is all that the end needs, whoever comes to it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Conflict, Forbidden, NotFound
from interceptor.session.debug.alive import DebugNames, session_object
from interceptor.session.debug.options import DebugOptions
from interceptor.session.debug.place import Place
from interceptor.session.debug.plan import DebugPlan, choose
from interceptor.session.events import Event, Teller
from interceptor.session.plan import holder
from interceptor.session.undo import Undo
from interceptor.swap import json_patch, precondition
from interceptor.workload.debug_sidecar import CONTAINER, is_of, with_sidecar, without_sidecar
from interceptor.workload.debugger import names_of, status_of
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.names import new_session
from interceptor.workload.podlist import list_pods
from interceptor.workload.rollout import RolloutFailed, wait_rolled_out
from interceptor.workload.selectors import pods_query

Object = dict[str, Any]

ROLLOUT_WITHIN = 180.0
_ATTEMPTS = 20


@asynccontextmanager
async def injecting(
    cluster: Cluster, planned: DebugPlan, options: DebugOptions, teller: Teller
) -> AsyncIterator[list[Place]]:
    """The sidecars of the new pods, for as long as the context lasts; then the workload is as it was."""
    ref = planned.ref
    assert ref is not None
    names = DebugNames(new_session(ref.name), planned.namespace, ref.name, ref.kind)
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    undo = Undo()
    began = time.monotonic()
    async with session_object(cluster, names, ref.title, teller, undo):

        async def restore() -> None:
            with teller.busy(f"taking the debug sidecar out of {ref.title}"):
                if await take_back(cluster, ref, names.session):
                    await see_gone(cluster, ref, names.session, teller)
                    teller.tell(Event("restored", f"{ref.title} is as it was", details={"workload": ref.title}))

        undo.add(f"the debug sidecar of {ref.title}", restore)
        with teller.busy(f"waiting for pods of {ref.title} with Linkerd's debug sidecar"):
            await _change(cluster, ref, lambda found: with_sidecar(found, names.session, holder(), since))
            await wait_rolled_out(cluster, ref, within=ROLLOUT_WITHIN)
            places = await _sidecars(cluster, ref, names.session, options)
        pods = [place.pod for place in places]
        text = f"{CONTAINER} runs in pod {', '.join(pods)}; {ref.title} is rolled back at the end"
        teller.tell(Event("connected", text, time.monotonic() - began, {"pods": dict.fromkeys(pods, CONTAINER)}))
        yield places


async def take_back(cluster: Cluster, ref: WorkloadRef, session: str | None) -> bool:
    """Put back what the annotation replaced; False where there was nothing of this session (None: any)."""
    try:
        return await _change(cluster, ref, lambda found: without_sidecar(found, session))
    except NotFound:
        return False


async def see_gone(cluster: Cluster, ref: WorkloadRef, session: str, teller: Teller) -> None:
    """Wait for the pods without the sidecar, and forget the revision with it."""
    try:
        await wait_rolled_out(cluster, ref, within=ROLLOUT_WITHIN)
        if ref.kind.history is None:
            return
        workload = await cluster.get(ref.resource, ref.namespace, ref.object)
        revisions = await cluster.list(ref.kind.history, ref.namespace, label_selector=pods_query(workload))
        for item in revisions.items:
            if is_of(item, session):
                metadata = item["metadata"]
                await cluster.delete(ref.kind.history, ref.namespace, metadata["name"], uid=metadata["uid"])
    except (NotFound, Forbidden):
        return  # deleted by somebody else, or it stays in the history, which forgets it in time
    except RolloutFailed as error:
        teller.tell(Event("note", f"{ref.title} is restored, but its pods are not all up: {error}"))


async def _change(cluster: Cluster, ref: WorkloadRef, make: Callable[[Object], Object | None]) -> bool:
    """Write what `make` makes of the fresh object, unless that is None; anew if somebody else wrote meanwhile."""
    for attempt in range(_ATTEMPTS):
        found = await cluster.get(ref.resource, ref.namespace, ref.object)
        wanted = make(found)
        if wanted is None:
            return False
        try:
            patch = [precondition(found["metadata"]["resourceVersion"]), *json_patch(found, wanted)]
            await cluster.patch(ref.resource, ref.namespace, ref.object, patch)
        except Conflict:
            await asyncio.sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))  # noqa: S311 (no secret)
            continue
        return True
    raise InterceptorError(
        f"{ref.title} changed under each of {_ATTEMPTS} attempts to write it",
        hint=f"something updates it all the time: see kubectl get {ref.title} -n {ref.namespace} -w",
    )


async def _sidecars(cluster: Cluster, ref: WorkloadRef, session: str, options: DebugOptions) -> list[Place]:
    """The new pods' debug containers."""
    workload = await cluster.get(ref.resource, ref.namespace, ref.object)
    new = [pod for pod in await list_pods(cluster, ref, workload) if is_of(pod, session)]
    chosen, _ = choose(ref.title, new, replace(options, pod=None))
    for pod in chosen:
        if CONTAINER not in names_of(pod):
            raise InterceptorError(
                f"Linkerd's injector gave pod {pod['metadata']['name']} no {CONTAINER}",
                hint=f"is it injected? see: interceptor check {ref.title} -n {ref.namespace}",
            )
    images = [str(status_of(pod, CONTAINER).get("image") or CONTAINER) for pod in chosen]
    return [
        Place(cluster, ref.namespace, pod["metadata"]["name"], CONTAINER, image)
        for pod, image in zip(chosen, images, strict=True)
    ]
