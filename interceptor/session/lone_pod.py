"""A bare pod exchanged for its stand-in, and back; `exchange` calls.

It is deleted once its stand-in serves, and the stand-in once it is back. Before the deletion the session object's deadline
goes far away: from then on the session has the only memory of the pod.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.session.hand import Hand
from interceptor.swap.exchange import ready
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.rollout import RolloutFailed
from interceptor.workload.stand_in import remove_stand_in


async def replace_pod(
    ref: WorkloadRef,
    uid: str,
    hand: Hand,
    over: asyncio.Event,
    swapped: asyncio.Event,
    before_deleting: Callable[[], Awaitable[None]],
) -> None:
    """Delete the pod of that uid once its stand-in serves; then see that nobody makes another of its name."""
    await hand.pods.until(lambda: over.is_set() or any(map(ready, hand.agents())))
    pod = hand.pods.by_name.get(ref.name)
    if over.is_set() or pod is None or pod.uid != uid:
        return
    await before_deleting()
    if over.is_set():
        return
    await hand.delete(pod.raw)
    swapped.set()

    def another() -> bool:
        now = hand.pods.by_name.get(ref.name)
        return now is not None and now.uid != pod.uid and not now.ending

    await hand.pods.until(lambda: over.is_set() or another())
    if not over.is_set():
        hint = "to intercept it, run the same command again"
        raise InterceptorError(f"{ref.title} was created by somebody meanwhile; that one stays", hint=hint)


async def give_pod_back(cluster: Cluster, ref: WorkloadRef, hand: Hand, within: float) -> None:
    """Once the pod is back and ready, remove its stand-in. Raises RolloutFailed."""

    def serves() -> bool:
        pod = hand.pods.by_name.get(ref.name)
        return pod is not None and pod.ready and not pod.ending

    try:
        async with asyncio.timeout(within):
            await hand.pods.until(serves)
    except TimeoutError as error:
        raise RolloutFailed(
            f"{ref.title} is back, but was not ready within {within:.0f} s",
            hint=f"see kubectl describe {ref.title} -n {ref.namespace}",
        ) from error
    finally:
        await remove_stand_in(cluster, ref)
    await hand.pods.until(lambda: not hand.agents())
