"""Takes the swap back without a lost request; registered by `intercept` as the swap's undo.

The template goes back first. While the pods are exchanged the agents still get callers: as soon as a restored pod is
ready they pass new ones on to it, and what is under way may finish. COMMAND may be gone already: then callers wait in
the agent for that moment.
"""

from __future__ import annotations

import asyncio

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Unreachable
from interceptor.session.events import Event, Teller
from interceptor.session.exchange import Exchange
from interceptor.session.keeper import Keeper, Stage
from interceptor.session.others import Others
from interceptor.session.plan import Plan
from interceptor.session.pods import Pods
from interceptor.session.tunnels import Tunnels
from interceptor.tunnel.local import LocalSide
from interceptor.workload.change import Undone, forget_revision, undo_swap
from interceptor.workload.edits import short
from interceptor.workload.kinds import POD
from interceptor.workload.rollout import RolloutFailed

REACH_TIME = 20.0  # seconds to reach the API server: after 15 the agents restore without us
ROLLOUT_TIME = 120.0
FINISH_TIME = 10.0  # for requests under way in agents that are ending


class Restorer:
    """One session's way back."""

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        pods: Pods,
        tunnels: Tunnels,
        local: LocalSide,
        teller: Teller,
        keeper: Keeper,
        exchange: Exchange,
    ) -> None:
        self._cluster = cluster
        self._plan = plan
        self._pods = pods
        self._tunnels = tunnels
        self._local = local
        self._teller = teller
        self._keeper = keeper
        self._pods_exchange = exchange
        self.process_gone = False  # set when COMMAND, and with it the local process, has ended
        self.applied = False  # whether the swap was ever there
        self.forsaken = False  # the namespace is being deleted
        self.undone: Undone | None = None  # what restoring came to
        self.others: Others | None = None  # what somebody else changed meanwhile

    async def restore(self) -> None:
        """Restore the template and see the pods exchanged. Safe to repeat. Raises InterceptorError."""
        if self.process_gone:
            why = "the local process has ended and the workload is being restored"
            self._local.close(why)
            await self._tunnels.pause(why)
        if self.forsaken:
            self.undone = Undone("gone")
            return
        undone = await self._undo()
        if self.undone is None or undone.outcome != "nothing":
            self.undone = undone
        names = self._plan.names
        if not names.kind.ordered:  # else the agents may have to go on with the pods, should we die meanwhile
            self._keeper.enter(Stage.ALONE)
        # Somebody else took it back: their rollout is followed. A bare pod has none: it is back, or another session's.
        theirs = undone.outcome == "nothing" and self.applied and names.kind is not POD
        if undone.outcome == "restored" or theirs or self._pods_exchange.left:
            if self.others is not None and self.others.paused:
                resume = f"kubectl rollout resume {self._plan.title} -n {names.namespace}"
                text = f"the template is restored, but {self._plan.title} is paused; for its pods: {resume}"
                self._teller.tell(Event("waiting", text))
            with self._teller.busy(f"restored; waiting for the pods of {self._plan.title}"):
                await self._exchange()
            await forget_revision(self._cluster, names.ref, self._plan.workload, names.session)
        # Nobody needs the session's objects any more: they shall not outlive us for long.
        self._keeper.enter(Stage.ALONE)

    def part(self) -> None:
        """Tell the agents that they have nothing to restore and nothing to delete: last of all, when that is true."""
        if self.undone is not None:
            self._tunnels.goodbye()

    def words(self) -> str:
        """How the workload was left."""
        title = self._plan.title
        if self.undone is None or not (self.applied or self.undone.outcome == "restored"):
            return f"{title} was not changed"
        if self.undone.outcome == "gone":
            return f"{title} goes with its namespace" if self.forsaken else f"{title} is gone"
        text = "is as it was" if self.undone.outcome == "restored" else "was restored already"
        return f"{title} {text}" + (
            f", but for what others changed: {', '.join(map(short, self.kept))}" if self.kept else ""
        )

    @property
    def kept(self) -> list[str]:
        """What others changed meanwhile and we left."""
        seen = self.others.changed if self.others is not None else []
        undone = self.undone.kept if self.undone is not None else []
        return list(dict.fromkeys([*seen, *undone]))

    async def _undo(self) -> Undone:
        names = self._plan.names
        deadline = asyncio.get_running_loop().time() + REACH_TIME
        while True:
            try:
                remembered = self._plan.workload.get("pod") or (self.others.swapped if self.others else None)
                return await undo_swap(self._cluster, names.ref, names.session, remembered=remembered)
            except Unreachable as error:
                if asyncio.get_running_loop().time() > deadline:
                    hint = (
                        "the agents restore it by themselves"
                        if self._plan.guarded
                        else f"when the cluster is back: interceptor restore {self._plan.title} -n {names.namespace}"
                    )
                    raise InterceptorError(
                        f"{self._plan.title} could not be restored: {error.message}", hint=hint
                    ) from error
                await asyncio.sleep(0.5)

    async def _exchange(self) -> None:
        async with asyncio.TaskGroup() as group:
            feeder = group.create_task(self._hand_over(), name="hand over to restored pods")
            try:
                await self._pods_exchange.restore(ROLLOUT_TIME)
                await self._until_finished()
            except RolloutFailed as error:
                self._teller.tell(Event("note", f"the template is restored, but its pods are not all up: {error}"))
            except InterceptorError as error:
                self._teller.tell(Event("note", f"the template is restored, but its pods can't be followed: {error}"))
            finally:
                feeder.cancel()

    async def _hand_over(self) -> None:
        """Tell the agents each time which restored pods are ready."""
        told: list[str] = []
        while True:
            addresses = sorted(pod.address for pod in self._pods.restored())
            if addresses and addresses != told:
                told = addresses
                await self._tunnels.hand_over(addresses)
            await self._pods.changed()

    async def _until_finished(self) -> None:
        """Let requests under way come to their end, for a while."""
        if self.process_gone:
            return
        deadline = asyncio.get_running_loop().time() + FINISH_TIME
        while self._tunnels.streams and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # streams end in the data path, which tells nobody
