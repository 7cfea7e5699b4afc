"""Sees a workload's pods exchanged for agents, and back; `intercept` runs it after the swap, `restore` after the undo.

Where a controller does it (Deployments, `RollingUpdate`), this only waits. Where none does, pods are deleted here, one
after the other, by the rule of `swap.exchange`. Two cases have a way without a gap, also with a single pod: a ReplicaSet
(`give_away`) and a bare pod (`lone_pod`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from interceptor.kube import Cluster, NotFound, Unreachable
from interceptor.session.give_away import LONGEST_STEP, delete_given_away, give_away
from interceptor.session.hand import LOOK_EVERY, Hand
from interceptor.session.lone_pod import give_pod_back, replace_pod
from interceptor.session.pods import Pods
from interceptor.swap.exchange import by_hand, next_pod, ready, waits_for_unready, wanted
from interceptor.swap.pod import lift
from interceptor.workload.kinds import POD, REPLICA_SET, WorkloadRef
from interceptor.workload.revision import is_current
from interceptor.workload.rollout import RolloutFailed, wait_rolled_out

Object = dict[str, Any]
IsOld = Callable[[Object], bool]

STUCK_AFTER = 15.0  # seconds for an agent to get ready before it is in the way of an ordered controller
PER_POD = 40.0  # seconds more for each pod, where one is exchanged after the other


class Exchange:
    """One session's two exchanges."""

    def __init__(self, cluster: Cluster, ref: WorkloadRef, workload: Object, pods: Pods, *, revision: str = "") -> None:
        self._cluster, self._ref, self._workload, self._pods = cluster, ref, workload, pods
        self._hand = Hand(cluster, ref, pods)
        self._revision = revision
        self._by_hand = ref.kind is POD or by_hand(workload)
        self._over = asyncio.Event()
        self._swapped = asyncio.Event()

    # --- to the agents ---------------------------------------------------------------------------------------------

    async def serve(self, before_deleting: Callable[[], Awaitable[None]]) -> None:
        """Run beside the session from the swap on; ends when no pod is left to exchange."""
        if self._ref.kind is POD:
            uid = self._workload["metadata"].get("uid", "")
            await replace_pod(self._ref, uid, self._hand, self._over, self._swapped, before_deleting)
        elif self._by_hand:
            await self._each(self._runs_app)
        self._swapped.set()

    async def until_swapped(self, within: float) -> None:
        """Return when every pod that is to run the agent does. Raises RolloutFailed."""
        within = self._time(within)
        if not self._by_hand:
            await wait_rolled_out(self._cluster, self._ref, within=within)
            return
        try:
            async with asyncio.timeout(within):
                await self._swapped.wait()
        except TimeoutError as error:
            raise RolloutFailed(
                f"the pods of {self._ref.title} were not exchanged within {within:.0f} s",
                hint=f"see kubectl describe {self._ref.title} -n {self._ref.namespace}",
            ) from error

    @property
    def left(self) -> bool:
        """Whether agents are left that nobody else removes."""
        return self._by_hand and bool(self._hand.agents())

    # --- back to the app -------------------------------------------------------------------------------------------

    async def restore(self, within: float) -> None:
        """Return when every pod runs the app again. Raises RolloutFailed."""
        self._over.set()  # the other exchange stops where it is
        self._pods.touch()
        within = self._time(within)
        if self._ref.kind is POD:
            await give_pod_back(self._cluster, self._ref, self._hand, within)
        elif self._by_hand:
            try:
                async with asyncio.timeout(within):
                    await self._each(self._hand.is_agent, back=True)
                    await delete_given_away(self._ref, self._hand)
            except TimeoutError as error:
                text = f"the pods of {self._ref.title} took longer than {within:.0f} s"
                raise RolloutFailed(text, hint=self._hand.to_type()) from error
        else:
            await (self._unstick(within) if waits_for_unready(self._workload) else self._rolled_out(within))

    async def _unstick(self, within: float) -> None:
        """The controller waits for agents that will never be ready: those go by our hand, the others by its own."""
        try:
            async with asyncio.TaskGroup() as group:
                helper = group.create_task(self._delete_stuck(), name="delete agents that are not ready")
                try:
                    await self._rolled_out(within)
                finally:
                    helper.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None  # who takes back tells one reason, and goes on

    async def _rolled_out(self, within: float) -> None:
        """By the numbers, and by the pods: with a partition, pods that were never exchanged count as new ones."""
        deadline = asyncio.get_running_loop().time() + within
        try:
            await wait_rolled_out(self._cluster, self._ref, within=within)  # and if not, it says what was waited for
            if self._ref.kind.ordered:
                async with asyncio.timeout_at(deadline):
                    found = await self._cluster.get(self._ref.resource, self._ref.namespace, self._ref.object)
                    await self._pods.until(lambda: not self._hand.agents() and self._hand.serving() >= wanted(found))
        except NotFound:
            return  # deleted meanwhile
        except TimeoutError as error:
            text = f"agents of {self._ref.title} were left after {within:.0f} s"
            raise RolloutFailed(text, hint=self._hand.to_type()) from error

    async def _delete_stuck(self) -> None:
        """Agents that are not ready now, and later ones that have had time: one that just starts may come yet."""
        now = asyncio.get_running_loop().time
        seen = {pod["metadata"]["uid"]: now() - STUCK_AFTER for pod in self._hand.alive() if self._hand.is_agent(pod)}
        while True:
            for pod in self._hand.alive():
                seen.setdefault(pod["metadata"]["uid"], now())
            step = next_pod(
                self._workload,
                self._hand.alive(),
                lambda pod: self._hand.is_agent(pod) and now() - seen[pod["metadata"]["uid"]] >= STUCK_AFTER,
            )
            if step.pod is not None:
                await self._hand.delete(step.pod)
            await self._hand.pause()

    # --- pod after pod ---------------------------------------------------------------------------------------------

    async def _each(self, is_old: IsOld, *, back: bool = False) -> None:
        since = asyncio.get_running_loop().time()
        surge = self._ref.kind is REPLICA_SET
        while back or not self._over.is_set():
            try:
                workload = await self._cluster.get(self._ref.resource, self._ref.namespace, self._ref.object)
            except NotFound:
                return  # told by whoever watches the workload
            except Unreachable:  # told by whoever renews the Lease
                await asyncio.sleep(LOOK_EVERY)
                continue
            hurry = back and asyncio.get_running_loop().time() - since > LONGEST_STEP
            step = next_pod(workload, self._hand.alive(), is_old, hurry)
            if step.done:
                return
            if step.pod is None:
                await self._hand.pause()
                continue
            if surge and ready(step.pod):
                surge = await give_away(self._cluster, self._ref, self._hand, step.pod, self._over, back=back)
            if self._over.is_set() and not back:
                return
            await self._hand.delete(step.pod)
            since = asyncio.get_running_loop().time()

    def _runs_app(self, pod: Object) -> bool:
        """Whether a pod is to be exchanged for an agent: `workload` is how we found it."""
        return not self._hand.is_agent(pod) and is_current(self._workload, self._revision, pod)

    def _time(self, within: float) -> float:
        ordered = self._ref.kind.ordered
        return within + (PER_POD * max(len(self._pods.by_name), wanted(self._workload)) if ordered else 0.0)


async def see_restored(cluster: Cluster, ref: WorkloadRef, within: float) -> None:
    """`restore` for whoever has no session: `interceptor restore`, after it took a swap back."""
    try:
        workload = await cluster.get(ref.kind.resource, ref.namespace, ref.name)
    except NotFound:
        return
    pods = Pods(cluster, ref, lift(workload) if ref.kind is POD else workload, "")
    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(pods.watch(), name="watch the pods")
            try:
                await pods.until_seen()
                await Exchange(cluster, ref, workload, pods).restore(within)
            finally:
                watch.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None  # as above
