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
from interceptor.workload.objects import SessionNames, micro_time
from interceptor.workload.objects import lease as lease_body

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

LEASE_SECONDS = 15
_RENEW_EVERY = 1.0
_RENEW_WITHIN = 3.0  # a request that hangs must not keep the next from getting through
_LOOK_EVERY = 0.5


class AlreadyIntercepted(InterceptorError):
    """Somebody else's client holds the workload, and it lives."""

    def __init__(self, workload: str, found: Object) -> None:
        super().__init__(
            f"deploy/{workload} is already intercepted by {holder_of(found)} since {since_of(found)}",
            hint="ask them to stop, or choose another workload",
        )


class LostLease(InterceptorError):
    """The lock is no longer ours: the agents undid the swap, or somebody else removed or took it."""


def holder_of(found: Object) -> str:
    """Who holds it, without the session's name."""
    return str(found["spec"].get("holderIdentity") or "somebody").rpartition("/")[0] or "somebody"


def since_of(found: Object) -> str:
    """Since when, as people read it, by the holder's clock."""
    text = found["spec"].get("acquireTime") or found["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class HeldLease:
    """The lock while we have it."""

    def __init__(self, cluster: Cluster, names: SessionNames, created: Object) -> None:
        self._cluster = cluster
        self._names = names
        self._uid: str = created["metadata"]["uid"]
        self._holder: str = created["spec"]["holderIdentity"]
        self.renewed_at = asyncio.get_running_loop().time()

    async def keep(self) -> NoReturn:
        """Renew every second until cancelled. Raises LostLease; an API server out of reach is waited for."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_RENEW_EVERY)
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

    async def _renew(self) -> None:
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": self._uid},
            {"op": "test", "path": "/spec/holderIdentity", "value": self._holder},
            {"op": "add", "path": "/spec/renewTime", "value": micro_time(datetime.now(UTC))},
        ]
        try:
            await self._cluster.patch(resources.LEASES, self._names.namespace, self._names.lease, patch)
        except NotFound as error:
            raise LostLease(f"the lease {self._names.lease} was removed") from error
        except Invalid as error:
            raise LostLease(f"the lease {self._names.lease} was taken by somebody else") from error

    async def release(self) -> None:
        """Give the lock back, if it is still ours."""
        with suppress(NotFound, Conflict):  # Conflict: the name is somebody else's by now
            await self._cluster.delete(resources.LEASES, self._names.namespace, self._names.lease, uid=self._uid)


async def acquire(
    cluster: Cluster,
    names: SessionNames,
    owner: Object,
    holder: str,
    *,
    waiting: Callable[[str], None] = lambda text: None,
) -> HeldLease:
    """Take the lock. A holder that lives is refused at once, one that is silent is given its lease's time."""
    while True:
        body = lease_body(names, owner, holder, datetime.now(UTC), LEASE_SECONDS)
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
    seconds = float(found["spec"].get("leaseDurationSeconds") or LEASE_SECONDS)
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + seconds, False
    while loop.time() < deadline:
        await asyncio.sleep(_LOOK_EVERY)
        try:
            now = await cluster.get(resources.LEASES, names.namespace, names.lease)
        except NotFound:
            return
        if now["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise AlreadyIntercepted(names.workload, now)
        if not told and loop.time() > deadline - seconds + 3 * _RENEW_EVERY:
            told = True
            waiting(
                f"{holder_of(found)} held {names.workload} and is silent; waiting up to {seconds:.0f} s for its end"
            )
    with suppress(NotFound, Conflict):
        await cluster.delete(resources.LEASES, names.namespace, names.lease, uid=found["metadata"]["uid"])
