"""Sees a workload's pods exchanged for agents, and back; `intercept` runs it after the swap, `restore` after the undo.

Where a controller does it (Deployments, `RollingUpdate`), this only waits. Where none does, pods are deleted here, one
after the other, by the rule of `swap.exchange`. Two cases have a way without a gap, also with a single pod:

A *ReplicaSet* counts the pods that it owns. A pod that is given to the session's Lease instead keeps its labels, so it
goes on serving while the ReplicaSet makes another in its place; then it is deleted. If we die in between, the garbage
collector deletes it together with the session. Where that fails (a quota, a missing right) it is deleted first.

A *bare pod* is deleted once its stand-in serves, and its stand-in once it is back. Before the deletion the session
object's deadline goes far away: from then on the session has the only memory of the pod.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Conflict, Forbidden, NotFound, Unreachable
from interceptor.kube.errors import Invalid
from interceptor.kube.resources import LEASES, PODS, REPLICA_SETS
from interceptor.session.pods import Pods
from interceptor.swap.exchange import by_hand, next_pod, ready, waits_for_unready, wanted
from interceptor.swap.pod import lift
from interceptor.workload.kinds import POD, REPLICA_SET, WorkloadRef
from interceptor.workload.names import lease_name
from interceptor.workload.preflight import rollout_condition
from interceptor.workload.revision import is_current
from interceptor.workload.rollout import RolloutFailed, session_of, wait_rolled_out
from interceptor.workload.stand_in import remove_stand_in

Object = dict[str, Any]
IsOld = Callable[[Object], bool]

LOOK_EVERY = 1.0  # what a pod doesn't tell (a changed number of replicas) is looked at that often
LONGEST_STEP = 60.0  # seconds for a pod to serve before the way back goes on without it
STUCK_AFTER = 15.0  # seconds for an agent to get ready before it is in the way of an ordered controller
PER_POD = 40.0  # seconds more for each pod, where one is exchanged after the other


class Exchange:
    """One session's two exchanges."""

    def __init__(self, cluster: Cluster, ref: WorkloadRef, workload: Object, pods: Pods, *, revision: str = "") -> None:
        self._cluster, self._ref, self._workload, self._pods = cluster, ref, workload, pods
        self._revision = revision
        self._by_hand = ref.kind is POD or by_hand(workload)
        self._over = asyncio.Event()
        self._swapped = asyncio.Event()

    # --- to the agents ---------------------------------------------------------------------------------------------

    async def serve(self, before_deleting: Callable[[], Awaitable[None]]) -> None:
        """Run beside the session from the swap on; ends when no pod is left to exchange."""
        if self._ref.kind is POD:
            await self._replace_pod(before_deleting)
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
        return self._by_hand and bool(self._agents())

    # --- back to the app -------------------------------------------------------------------------------------------

    async def restore(self, within: float) -> None:
        """Return when every pod runs the app again. Raises RolloutFailed."""
        self._over.set()  # the other exchange stops where it is
        self._pods.touch()
        within = self._time(within)
        if self._ref.kind is POD:
            await self._give_pod_back(within)
        elif self._by_hand:
            try:
                async with asyncio.timeout(within):
                    await self._each(self._is_agent, back=True)
                    await self._delete_given_away()
            except TimeoutError as error:
                raise RolloutFailed(f"the pods of {self._ref.title} took longer than {within:.0f} s") from error
        else:
            await (self._unstick(within) if waits_for_unready(self._workload) else self._rolled_out(within))

    async def _unstick(self, within: float) -> None:
        """The controller waits for agents that will never be ready: those go by our hand, the others by its own."""
        async with asyncio.TaskGroup() as group:
            helper = group.create_task(self._delete_stuck(), name="delete agents that are not ready")
            try:
                await self._rolled_out(within)
            finally:
                helper.cancel()

    async def _rolled_out(self, within: float) -> None:
        """By the numbers, and by the pods: with a partition, pods that were never exchanged count as new ones."""
        try:
            async with asyncio.timeout(within):
                await wait_rolled_out(self._cluster, self._ref, within=within)
                if self._ref.kind.ordered:
                    found = await self._cluster.get(self._ref.resource, self._ref.namespace, self._ref.object)
                    await self._pods.until(lambda: not self._agents() and self._serving() >= wanted(found))
        except NotFound:
            return  # deleted meanwhile
        except TimeoutError as error:
            raise RolloutFailed(f"agents of {self._ref.title} were left after {within:.0f} s") from error

    async def _delete_stuck(self) -> None:
        """Agents that are not ready now, and later ones that have had time: one that just starts may come yet."""
        now = asyncio.get_running_loop().time
        seen = {pod["metadata"]["uid"]: now() - STUCK_AFTER for pod in self._alive() if self._is_agent(pod)}
        while True:
            for pod in self._alive():
                seen.setdefault(pod["metadata"]["uid"], now())
            step = next_pod(
                self._workload,
                self._alive(),
                lambda pod: self._is_agent(pod) and now() - seen[pod["metadata"]["uid"]] >= STUCK_AFTER,
            )
            if step.pod is not None:
                await self._delete(step.pod)
            await self._pause()

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
            step = next_pod(workload, self._alive(), is_old, hurry)
            if step.done:
                return
            if step.pod is None:
                await self._pause()
                continue
            if surge and ready(step.pod):
                surge = await self._give_away(step.pod, back)
            if self._over.is_set() and not back:
                return
            await self._delete(step.pod)
            since = asyncio.get_running_loop().time()

    async def _give_away(self, pod: Object, back: bool) -> bool:
        """Let the ReplicaSet make another pod while this one serves; False where that does not work here."""
        metadata = pod["metadata"]
        try:
            lease = await self._cluster.get(LEASES, self._ref.namespace, self._lease)
            owner = {
                "apiVersion": LEASES.group_version,
                "kind": LEASES.kind,
                "name": self._lease,
                "uid": lease["metadata"]["uid"],
                "controller": True,
            }
            patch = [
                {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
                {"op": "replace", "path": "/metadata/ownerReferences", "value": [owner]},
            ]
            await self._cluster.patch(PODS, self._ref.namespace, metadata["name"], patch)
        except (Forbidden, NotFound, Conflict, Invalid):
            return False
        deadline = asyncio.get_running_loop().time() + LONGEST_STEP
        while back or not self._over.is_set():
            found = await self._cluster.get(REPLICA_SETS, self._ref.namespace, self._ref.object)
            others = [one for one in self._alive() if one["metadata"]["uid"] != metadata["uid"]]
            if sum(map(ready, others)) >= wanted(found):
                return True
            if rollout_condition(found, "ReplicaFailure").get("status") == "True":
                return False
            if back and asyncio.get_running_loop().time() > deadline:
                return True
            await self._pause()
        return True

    async def _delete_given_away(self) -> None:
        """Pods of the app that the session still owned when it was ended half-way."""
        for pod in self._alive():
            owners = pod["metadata"].get("ownerReferences") or []
            if any(o.get("controller") and (o["kind"], o["name"]) == (LEASES.kind, self._lease) for o in owners):
                await self._delete(pod)

    # --- a bare pod ------------------------------------------------------------------------------------------------

    async def _replace_pod(self, before_deleting: Callable[[], Awaitable[None]]) -> None:
        await self._pods.until(lambda: self._over.is_set() or any(map(ready, self._agents())))
        pod = self._pods.by_name.get(self._ref.name)
        if self._over.is_set() or pod is None or pod.uid != self._workload["metadata"].get("uid"):
            return
        await before_deleting()
        if self._over.is_set():
            return
        await self._delete(pod.raw)
        self._swapped.set()

        def another() -> bool:
            now = self._pods.by_name.get(self._ref.name)
            return now is not None and now.uid != pod.uid and not now.ending

        await self._pods.until(lambda: self._over.is_set() or another())
        if not self._over.is_set():
            hint = "to intercept it, run the same command again"
            raise InterceptorError(f"{self._ref.title} was created by somebody meanwhile; that one stays", hint=hint)

    async def _give_pod_back(self, within: float) -> None:
        def serves() -> bool:
            pod = self._pods.by_name.get(self._ref.name)
            return pod is not None and pod.ready and not pod.ending

        try:
            async with asyncio.timeout(within):
                await self._pods.until(serves)
        except TimeoutError as error:
            raise RolloutFailed(f"{self._ref.title} is back, but was not ready within {within:.0f} s") from error
        finally:
            await remove_stand_in(self._cluster, self._ref)
        await self._pods.until(lambda: not self._agents())

    # --- small things ----------------------------------------------------------------------------------------------

    @property
    def _lease(self) -> str:
        return lease_name(self._ref.kind.resource.kind, self._ref.name)

    def _runs_app(self, pod: Object) -> bool:
        """Whether a pod is to be exchanged for an agent: `workload` is how we found it."""
        return not self._is_agent(pod) and is_current(self._workload, self._revision, pod)

    def _is_agent(self, pod: Object) -> bool:
        return session_of(pod) == self._ref.session

    def _alive(self) -> list[Object]:
        return [pod.raw for pod in self._pods.by_name.values() if not pod.ending]

    def _agents(self) -> list[Object]:
        return [pod for pod in self._alive() if self._is_agent(pod)]

    def _serving(self) -> int:
        return sum(map(ready, self._alive()))

    async def _delete(self, pod: Object) -> None:
        """Delete this very pod and wait until the watch has seen it go."""
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        try:
            await self._cluster.delete(PODS, self._ref.namespace, name, uid=uid)
        except (NotFound, Conflict):
            return  # gone, or another of that name by now
        except Unreachable:
            await asyncio.sleep(LOOK_EVERY)  # asked for again, if it is still there
            return

        def going() -> bool:
            now = self._pods.by_name.get(name)
            return now is None or now.uid != uid or now.ending

        await self._pods.until(going)

    async def _pause(self) -> None:
        """Until a pod changes, or it is time to look again."""
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self._pods.changed()
        except TimeoutError:
            return

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
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(pods.watch(), name="watch the pods")
        try:
            await pods.until_seen()
            await Exchange(cluster, ref, workload, pods).restore(within)
        finally:
            watch.cancel()
