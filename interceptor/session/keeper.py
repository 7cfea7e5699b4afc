"""Keeps a session alive in the cluster while the client runs: Lease, session object's deadline, the agents' token.

`intercept` runs it beside everything else. All three end by themselves when the client does: that is their purpose.

The deadline follows what a death would leave behind. While only the session's own objects exist, and again once the swap
is taken back, nothing but the deadline would remove them: it is short. Once the swap is there it is long, since the objects
hold the agents' right to restore, and the first agent may take a while to start. The swap and the deadline can't be written
in one request, nor does the cluster do anything with our objects because of a swap; so for the one request in between it is
neither: who dies before the swap leaves nothing for long, who dies right after it leaves the time in which a pod starts.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, Unreachable
from interceptor.kube.resources import JOBS, SECRETS
from interceptor.session.events import Event, Teller
from interceptor.workload.lease import LEASE_SECONDS, HeldLease
from interceptor.workload.objects import SessionNames

TOKEN_SECONDS = 3600  # the least that every API server grants in full is 10 minutes
PUSH_WITHIN = 3.0  # a request that hangs must not keep the next from getting through
TRY_AGAIN = 60.0


class Stage(Enum):
    """How long the session object outlives us, and how often that is pushed ahead; seconds."""

    ALONE = (10, 1.0)  # nothing is changed: its objects hinder nobody but for the lock
    BESIDE = (30, 5.0)  # a pod of our own runs, and nobody else needs it
    DEBUGGED = (30, 2.0)  # the same, and `restore` tells by a push whether its client lives: there is no Lease
    SWAPPING = (20, 1.0)  # the one request that swaps is under way
    SWAPPED = (300, 5.0)  # no agent has been seen yet: its image may have to be pulled first
    HELD = (3600, 30.0)  # an outage of the API server must never cost the agents their rights
    # A bare pod is deleted, and the session alone knows how to make it again. Or no agent may restore, and new pods of the
    # swapped template need the session's files until somebody does.
    REMEMBERED = (10 * 365 * 86400, 30.0)

    @property
    def ahead(self) -> int:
        """From each push on."""
        return self.value[0]

    @property
    def every(self) -> float:
        """Between two pushes."""
        return self.value[1]


class Keeper:
    """One session's signs of life, from the creation of its session object on."""

    def __init__(
        self,
        cluster: Cluster,
        names: SessionNames,
        teller: Teller,
        on_end: Callable[[InterceptorError], None],
        *,
        token_seconds: int = TOKEN_SECONDS,
        renew_token_every: float = TOKEN_SECONDS / 2,
    ) -> None:
        self._cluster = cluster
        self._names = names
        self._began = asyncio.get_running_loop().time()
        self._teller = teller
        self._on_end = on_end
        self._token_seconds, self._renew_token_every = token_seconds, renew_token_every
        self._stage = Stage.ALONE
        self._entered = asyncio.Event()
        self._pushing = asyncio.Lock()

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
                    f"after {LEASE_SECONDS} s the agents take this program for gone"
                )
                self._teller.tell(Event("lost", text, details={"reason": "unreachable"}))
            elif age < LEASE_SECONDS / 3 and told:
                told = False
                self._teller.tell(Event("note", "the API server answers again"))

    async def swapping(self) -> None:
        """The swap comes next: return when the session object will outlive it. Raises ApiError or Unreachable."""
        self._stage = Stage.SWAPPING
        await self._push()

    def swapped(self) -> None:
        """The swap is there."""
        if self._stage is Stage.SWAPPING:
            self.enter(Stage.SWAPPED)

    async def remember(self) -> None:
        """Return when the session object won't end by itself: a bare pod is deleted next, or nobody but us will restore.

        Raises like `swapping`.
        """
        self._stage = Stage.REMEMBERED
        await self._push()

    def enter(self, stage: Stage) -> None:
        """From now on this stage's deadline holds."""
        if self._stage is Stage.REMEMBERED and stage is Stage.HELD:
            return
        self._stage = stage
        self._entered.set()

    async def push_deadline(self) -> None:
        """Move the session object's end ahead, again and again."""
        pause = self._stage.every
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._entered.wait()
            self._entered.clear()
            try:
                async with asyncio.timeout(PUSH_WITHIN):
                    await self._push()
                pause = self._stage.every
            except (ApiError, Unreachable, TimeoutError) as error:
                if isinstance(error, ApiError) and error.status == 404:
                    text = "the session object is gone: somebody deleted it, or we were out of reach for too long"
                    self._on_end(InterceptorError(text, hint="run the same command again"))
                    return
                pause = 1.0

    async def _push(self) -> None:
        async with self._pushing:  # a short deadline may not overtake a long one on another connection
            # Counted from the Job's start by our own steady clock: the machine's time of day may be an hour off.
            age = int(asyncio.get_running_loop().time() - self._began)
            patch = {"spec": {"activeDeadlineSeconds": age + self._stage.ahead}}
            await self._cluster.patch(JOBS, self._names.namespace, self._names.object, patch)

    async def renew_token(self) -> None:
        """Put a fresh token into the Secret long before the old one ends; the kubelet brings it to the pods."""
        pause = self._renew_token_every
        while True:
            await asyncio.sleep(pause)
            try:
                token, _ = await self._cluster.token(self._names.namespace, self._names.object, self._token_seconds)
                data = {"data": {"token": base64.b64encode(token.encode()).decode()}}
                await self._cluster.patch(SECRETS, self._names.namespace, self._names.object, data)
                pause = self._renew_token_every
            except (ApiError, Unreachable) as error:
                if pause != TRY_AGAIN:
                    self._teller.tell(Event("note", f"the agents' token can't be renewed, trying again: {error}"))
                pause = TRY_AGAIN
