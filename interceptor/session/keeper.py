"""Keeps a session alive in the cluster while the client runs: Lease, session object's deadline, the agents' token.

`intercept` runs it beside everything else. All three end by themselves when the client does: that is their purpose.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, Unreachable
from interceptor.kube.resources import JOBS, SECRETS
from interceptor.session.events import Event, Teller
from interceptor.workload.lease import LEASE_SECONDS, HeldLease
from interceptor.workload.objects import SessionNames

START_DEADLINE = 120  # seconds the session object outlives us while no agent may be up yet
DEADLINE = 3600  # ... and later: an outage of the API server must never cost the agents their rights
PUSH_EVERY = 30.0
TOKEN_SECONDS = 3600  # the least that every API server grants in full is 10 minutes


class Keeper:
    """One session's signs of life."""

    def __init__(
        self,
        cluster: Cluster,
        names: SessionNames,
        teller: Teller,
        on_end: Callable[[InterceptorError], None],
    ) -> None:
        self._cluster = cluster
        self._names = names
        self._began = asyncio.get_running_loop().time()
        self._teller = teller
        self._on_end = on_end

    async def renew_lease(self, held: HeldLease) -> None:
        """Every second; when the Lease is no longer ours the session is over."""
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch_lease(held), name="watch the lease's age")
                try:
                    await held.keep()
                finally:
                    watcher.cancel()
        except* InterceptorError as group_error:
            error = group_error.exceptions[0]
            assert isinstance(error, InterceptorError)
            self._on_end(error)

    async def _watch_lease(self, held: HeldLease) -> None:
        """Say when the API server has been out of reach for long, and when it is back."""
        loop = asyncio.get_running_loop()
        told = False
        while True:
            await asyncio.sleep(1.0)
            age = loop.time() - held.renewed_at
            if age > LEASE_SECONDS / 3 and not told:
                told = True
                text = (
                    f"the API server has not answered for {age:.0f} s; "
                    f"after {LEASE_SECONDS} s the agents restore the workload"
                )
                self._teller.tell(Event("lost", text, details={"reason": "unreachable"}))
            elif age < LEASE_SECONDS / 3 and told:
                told = False
                self._teller.tell(Event("note", "the API server answers again"))

    async def push_deadline(self) -> None:
        """Move the session object's end ahead, from now on and every half minute."""
        ahead = START_DEADLINE
        while True:
            # Counted from the Job's start by our own steady clock: the machine's time of day may be an hour off.
            age = int(asyncio.get_running_loop().time() - self._began)
            patch = {"spec": {"activeDeadlineSeconds": age + ahead}}
            try:
                await self._cluster.patch(JOBS, self._names.namespace, self._names.object, patch)
            except (ApiError, Unreachable) as error:
                if isinstance(error, ApiError) and error.status == 404:
                    self._on_end(
                        InterceptorError(
                            "the session object was deleted by somebody", hint="run the same command again"
                        )
                    )
                    return
                await asyncio.sleep(1.0)
                continue
            ahead = DEADLINE
            await asyncio.sleep(PUSH_EVERY)

    async def renew_token(self) -> None:
        """Put a fresh token into the Secret long before the old one ends; the kubelet brings it to the pods."""
        while True:
            await asyncio.sleep(TOKEN_SECONDS / 2)
            try:
                token, _ = await self._cluster.token(self._names.namespace, self._names.object, TOKEN_SECONDS)
                data = {"data": {"token": base64.b64encode(token.encode()).decode()}}
                await self._cluster.patch(SECRETS, self._names.namespace, self._names.object, data)
            except (ApiError, Unreachable) as error:
                self._teller.tell(Event("note", f"the agents' token could not be renewed: {error}"))
