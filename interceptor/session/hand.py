"""What an exchange does with single pods: sees them, deletes one, waits for a change. `exchange` and its ways use it."""

from __future__ import annotations

import asyncio
from typing import Any

from interceptor.kube import Cluster, Conflict, NotFound, Unreachable
from interceptor.kube.resources import PODS
from interceptor.session.pods import Pods
from interceptor.swap.exchange import ready
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.rollout import session_of

Object = dict[str, Any]

LOOK_EVERY = 1.0  # what a pod doesn't tell (a changed number of replicas) is looked at that often


class Hand:
    """The pods of one workload, as the session's watch sees them."""

    def __init__(self, cluster: Cluster, ref: WorkloadRef, pods: Pods) -> None:
        self._cluster, self._ref, self.pods = cluster, ref, pods

    def is_agent(self, pod: Object) -> bool:
        """Whether a pod runs our agent."""
        return session_of(pod) == self._ref.session

    def alive(self) -> list[Object]:
        """The pods that are not on their way out."""
        return [pod.raw for pod in self.pods.by_name.values() if not pod.ending]

    def agents(self) -> list[Object]:
        """Those of them that run our agent."""
        return [pod for pod in self.alive() if self.is_agent(pod)]

    def serving(self) -> int:
        """How many are ready."""
        return sum(map(ready, self.alive()))

    def to_type(self) -> str:
        """What tells why it takes so long: a pod that is not ready has the reason in its events, else the workload."""
        waiting = sorted(str(pod["metadata"]["name"]) for pod in self.alive() if not ready(pod))
        subject = f"pod/{waiting[0]}" if waiting else self._ref.title
        return f"see kubectl describe {subject} -n {self._ref.namespace}"

    async def delete(self, pod: Object) -> None:
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
            now = self.pods.by_name.get(name)
            return now is None or now.uid != uid or now.ending

        await self.pods.until(going)

    async def pause(self) -> None:
        """Until a pod changes, or it is time to look again."""
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self.pods.changed()
        except TimeoutError:
            return
