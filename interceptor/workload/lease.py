"""The lock on a workload; `session` acquires it after the session object, keeps it alive, and releases it at the end.

Its name is the lock: it is created and never overwritten. Clocks of laptops and clusters differ, so whether a holder
lives is judged by watching its renewals arrive, never by comparing times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.kube.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound, Unreachable
from interceptor.workload.life import AlreadyIntercepted, holder_of, title_of
from interceptor.workload.objects import SessionNames, micro_time
from interceptor.workload.objects import lease as lease_body

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

LEASE_SECONDS = 15
# Until the first agent is connected: then nobody is there who could see the client die, and the agent that starts has
# nothing but the Lease to judge by (agent/watchdog.py weighs it).
START_SECONDS = 2
SILENCE = 5.0  # seconds of silence before a lock is taken from its holder, even where it says less
_RENEW_EVERY = 1.0
_RENEW_EVERY_AT_START = START_SECONDS / 4
_RENEW_WITHIN = 3.0  # a request that hangs must not keep the next from getting through
_LOOK_EVERY = 0.5
_RELEASE_ATTEMPTS = 5


class LostLease(InterceptorError):
    """The lock is no longer ours: the agents undid the swap, or somebody else removed or took it."""


class TakenOver(LostLease):
    """Somebody else has the lock now."""

    @classmethod
    def by(cls, found: Object) -> TakenOver:
        """Whom the Lease names."""
        return cls(f"{holder_of(found)} took {title_of(found)} over", hint="talk to them, or choose another workload")


class HeldLease:
    """The lock while we have it."""

    def __init__(self, cluster: Cluster, names: SessionNames, created: Object) -> None:
        self._cluster = cluster
        self._names = names
        self._uid: str = created["metadata"]["uid"]
        self._holder: str = created["spec"]["holderIdentity"]
        self._settled = asyncio.Event()
        self._start_seconds: int = created["spec"]["leaseDurationSeconds"]
        self.renewed_at = asyncio.get_running_loop().time()

    def settle(self) -> None:
        """The first agent is connected: from now on the Lease lasts LEASE_SECONDS."""
        self._settled.set()

    async def keep(self) -> NoReturn:
        """Renew every second, at the start more often, until cancelled.

        Raises LostLease; an API server out of reach is waited for.
        """
        loop = asyncio.get_running_loop()
        while True:
            await self._pause()
            try:
                async with asyncio.timeout(_RENEW_WITHIN):
                    await self._renew()
            except (Unreachable, TimeoutError):
                continue  # `renewed_at` tells how long
            except ApiError as error:
                if error.status not in (429, 500, 502, 503, 504):
                    raise
                continue
            self.renewed_at = loop.time()

    async def _pause(self) -> None:
        if self._settled.is_set():
            await asyncio.sleep(_RENEW_EVERY)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_RENEW_EVERY_AT_START):
                await self._settled.wait()  # then renewed at once, for long

    async def _renew(self) -> None:
        seconds = LEASE_SECONDS if self._settled.is_set() else self._start_seconds
        patch: list[dict[str, object]] = [
            {"op": "test", "path": "/metadata/uid", "value": self._uid},
            {"op": "test", "path": "/spec/holderIdentity", "value": self._holder},
            {"op": "add", "path": "/spec/renewTime", "value": micro_time(datetime.now(UTC))},
            {"op": "add", "path": "/spec/leaseDurationSeconds", "value": seconds},
        ]
        try:
            await self._cluster.patch(resources.LEASES, self._names.namespace, self._names.lease, patch)
        except NotFound as error:
            raise LostLease(f"the lease {self._names.lease} was removed") from error
        except Invalid as error:
            raise await self._taken() from error

    async def _taken(self) -> LostLease:
        """Who has it, and says so to its former holder."""
        try:
            found = await self._cluster.get(resources.LEASES, self._names.namespace, self._names.lease)
        except NotFound:
            return LostLease(f"the lease {self._names.lease} was removed")
        return TakenOver.by(found)

    async def release(self) -> None:
        """Give the lock back, if it is still ours: somebody may have taken it over, under the same uid even."""
        for _ in range(_RELEASE_ATTEMPTS):
            with suppress(Conflict):  # renewed in between, by us or by its next holder: look again
                try:
                    found = await self._cluster.get(resources.LEASES, self._names.namespace, self._names.lease)
                    metadata = found["metadata"]
                    if (metadata["uid"], found["spec"].get("holderIdentity")) == (self._uid, self._holder):
                        await self._delete(metadata["resourceVersion"])
                except NotFound:
                    pass
                return

    async def _delete(self, version: str) -> None:
        names = self._names
        await self._cluster.delete(resources.LEASES, names.namespace, names.lease, uid=self._uid, version=version)


async def take(cluster: Cluster, names: SessionNames, owner: Object, holder: str, found: Object) -> HeldLease:
    """Take the lock from the holder whom `found` names. Raises AlreadyIntercepted when it has changed hands meanwhile.

    The test on the holder is what makes one of two who try at once the winner: the other's fails.
    """
    now = micro_time(datetime.now(UTC))
    body = lease_body(names, owner, holder, datetime.now(UTC), START_SECONDS)
    transitions = int(found["spec"].get("leaseTransitions") or 0) + 1
    spec = {**body["spec"], "leaseTransitions": transitions, "acquireTime": now, "renewTime": now}
    metadata = {"labels": body["metadata"]["labels"], "ownerReferences": body["metadata"]["ownerReferences"]}
    test = ("/spec/holderIdentity", found["spec"].get("holderIdentity"))
    if test[1] is None:  # nobody's: then it must be the very state that we saw
        test = ("/metadata/resourceVersion", found["metadata"]["resourceVersion"])
    patch: list[dict[str, object]] = [
        {"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]},
        {"op": "test", "path": test[0], "value": test[1]},
        {"op": "add", "path": "/spec", "value": spec},
        *({"op": "add", "path": f"/metadata/{key}", "value": value} for key, value in metadata.items()),
    ]
    try:
        taken = await cluster.patch(resources.LEASES, names.namespace, names.lease, patch)
    except NotFound:
        return await acquire(cluster, names, owner, holder)
    except Invalid as error:
        raise AlreadyIntercepted(await cluster.get(resources.LEASES, names.namespace, names.lease)) from error
    return HeldLease(cluster, names, taken)


async def acquire(
    cluster: Cluster,
    names: SessionNames,
    owner: Object,
    holder: str,
    *,
    waiting: Callable[[str], None] = lambda text: None,
    round_trip: float = 0.0,
) -> HeldLease:
    """Take the lock, for a short time until it is settled: START_SECONDS, or more where one call takes `round_trip`.

    A holder that lives is refused at once, one that is silent is given its lease's time, and SILENCE at least.
    """
    seconds = min(LEASE_SECONDS, START_SECONDS + round(4 * round_trip))
    while True:
        body = lease_body(names, owner, holder, datetime.now(UTC), seconds)
        try:
            created = await cluster.create(resources.LEASES, names.namespace, body)
        except AlreadyExists:
            await _until_free(cluster, names, waiting)
            continue
        return HeldLease(cluster, names, created)


async def _until_free(cluster: Cluster, names: SessionNames, waiting: Callable[[str], None]) -> None:
    """Return when the Lease is gone; raise AlreadyIntercepted as soon as its holder renews it.

    One that nobody renews for the whole of its duration is left over from a client that died before its agents lived.
    """
    try:
        found = await cluster.get(resources.LEASES, names.namespace, names.lease)
    except NotFound:
        return
    seconds = max(SILENCE, float(found["spec"].get("leaseDurationSeconds") or LEASE_SECONDS))
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + seconds, False
    while loop.time() < deadline:
        await asyncio.sleep(_LOOK_EVERY)
        try:
            now = await cluster.get(resources.LEASES, names.namespace, names.lease)
        except NotFound:
            return
        if now["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise AlreadyIntercepted(now)
        if not told and loop.time() > deadline - seconds + 3 * _RENEW_EVERY:
            told = True
            waiting(
                f"{holder_of(found)} held {names.workload} and is silent; waiting up to {seconds:.0f} s for its end"
            )
    metadata = found["metadata"]
    with suppress(NotFound, Conflict):  # Conflict: it came back to life, or somebody took it over
        await cluster.delete(
            resources.LEASES, names.namespace, names.lease, uid=metadata["uid"], version=metadata["resourceVersion"]
        )
