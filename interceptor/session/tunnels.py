"""One tunnel to each agent pod, kept up; `intercept` runs it beside everything else, `sandbox.proxy` dials through it.

A pod that appears (rollout, scale up, eviction) gets a tunnel as soon as its container runs; a tunnel that breaks is
opened again, quickly at first. Nothing here decides what a loss means: the Lease says whether the session lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from interceptor.kube import ApiError, Cluster, NotFound, PortForwardFailed, Unreachable
from interceptor.session.events import Event, Teller
from interceptor.session.pods import Pods
from interceptor.tunnel.client import Done, Opening, Outgoing, Tunnel, TunnelLost
from interceptor.tunnel.errors import StreamRefused
from interceptor.tunnel.local import LocalSide
from interceptor.tunnel.observer import Watcher
from interceptor.wire.reasons import Reason
from interceptor.wire.tls import TlsLayer

FIRST_PAUSE = 0.05  # an agent is up within 0.2 s of its container's start: knocking earlier costs little
LONGEST_PAUSE = 1.0
FIRST_KNOCK = 0.3  # seconds after a node has the pod: it waits that long for the volumes alone
KNOCK_EVERY = 0.15  # while the container is being made: the kubelet tells up to a second late that it runs
PROBE_EVERY = 0.2


@dataclass(slots=True)
class AgentTunnel:
    """The state of one agent pod, as far as we know it."""

    pod: str
    tunnel: Tunnel | None = None
    armed: bool = False
    round_trip: float = 0.0  # milliseconds from the pod's port to the local process and back; 0 before a probe


class Tunnels:
    """All tunnels of one session."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        session: str,
        context: ssl.SSLContext,
        port: int,
        pods: Pods,
        local: LocalSide,
        teller: Teller,
        watcher: Callable[[str], Watcher] | None = None,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._session = session
        self._context = context
        self._port = port
        self._pods = pods
        self._local = local
        self._teller = teller
        self._watcher = watcher  # for a pod's tunnel
        self._armed = False
        self._ending = False
        self.by_pod: dict[str, AgentTunnel] = {}
        self.reconnects = 0  # times that a lost tunnel was there again

    async def serve(self) -> None:
        """Keep a tunnel to every agent pod until cancelled."""
        keepers: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                for pod in self._pods.by_name.values():
                    wanted = pod.session == self._session and pod.scheduled and not pod.over
                    # One that has ended kept another pod of that name: an ordered set gives names again.
                    if wanted and (pod.name not in keepers or keepers[pod.name].done()):
                        keeper = group.create_task(self._keep(pod.name), name=f"tunnel to {pod.name}")
                        keepers[pod.name] = keeper
                for name in [name for name in keepers if name not in self._pods.by_name]:
                    keepers.pop(name).cancel()
                await self._pods.changed()

    @property
    def streams(self) -> int:
        """Connections under way in all tunnels."""
        return sum(agent.tunnel.streams for agent in self.live if agent.tunnel is not None)

    async def until_probed(self, session: str) -> None:
        """Return when each agent pod has passed a probe; says what fails while it does."""
        told = ""
        while True:
            agents = self._pods.agents(session)
            failing = [pod.name for pod in agents if not self._has_passed(pod.name)]
            if agents and not failing:
                return
            for name in failing:
                agent = self.by_pod.get(name)
                if agent is not None and agent.tunnel is not None:
                    failure = await self._probe(agent, agent.tunnel)
                    if failure and failure != told:
                        told = failure
                        self._teller.tell(Event("waiting", f"pod {name}: {failure}", details={"pod": name}))
            if any(not self._has_passed(name) for name in failing) or not agents:
                await asyncio.sleep(PROBE_EVERY)

    def unproven(self, session: str, served: Sequence[str]) -> bool:
        """Tell whether an agent pod is there that is not among the served ones, or has lost its tunnel since."""
        return any(pod.name not in served or not self._has_passed(pod.name) for pod in self._pods.agents(session))

    def _has_passed(self, pod: str) -> bool:
        agent = self.by_pod.get(pod)
        return agent is not None and agent.round_trip > 0

    # --- what the session asks of all agents -----------------------------------------------------------------------

    @property
    def live(self) -> list[AgentTunnel]:
        """Those that are up now; one that has just ended is not, also before its keeper was told."""
        return [agent for agent in self.by_pod.values() if agent.tunnel is not None and not agent.tunnel.ended.done()]

    async def arm(self) -> None:
        """Let callers come: the agents' pods become ready, now and whenever one appears."""
        self._armed = True
        await self._ask_all("arm")

    async def pause(self, why: str) -> None:
        """The local process has ended for good: agents let new callers wait for the handover."""
        await self._ask_all("pause", why=why)

    async def hand_over(self, addresses: list[str]) -> None:
        """Agents pass their callers on to these pods from now on."""
        await self._ask_all("handover", pods=addresses)

    async def dial(self, host: str, port: int) -> Outgoing:
        """Connect from a pod: the first whose tunnel stays up. Raises StreamRefused. See `sandbox.proxy.Dialer`."""
        return await self._stream({"host": host, "port": port}, f"{host}:{port}")

    def begin(self, host: str, port: int, done: Done) -> Opening:
        """Do the same without a task. Raises StreamRefused where no agent is connected. See `sandbox.outward.Dialer`."""
        for agent in self.live:
            if agent.tunnel is not None:
                return agent.tunnel.begin({"host": host, "port": port}, f"{host}:{port}", done)
        raise StreamRefused(Reason.GONE, "no agent is connected")

    async def open_flow(self, host: str, port: int) -> Outgoing:
        """Open a stream of datagrams to an address. See `sandbox.datagrams.Dialer`."""
        return await self._stream({"host": host, "port": port, "udp": True}, f"{host}:{port} (UDP)")

    async def open_files(self, target: Mapping[str, object]) -> Outgoing:
        """Open a stream for a container's files, as soon as an agent is connected. See `sandbox.files.remote.Opener`."""
        await self._pods.until(lambda: bool(self.live))
        return await self._stream(target, "the container's files")

    async def _stream(self, target: Mapping[str, object], name: str) -> Outgoing:
        for agent in self.live:
            if agent.tunnel is not None:
                try:
                    return await agent.tunnel.open(target, name)
                except StreamRefused as refused:
                    if refused.reason is not Reason.GONE:
                        raise
        raise StreamRefused(Reason.GONE, "no agent is connected")

    async def environment(self) -> dict[str, str] | None:
        """The environment of an agent's container; None where no tunnel stays up long enough to ask."""
        for agent in self.live:
            if agent.tunnel is not None:
                with contextlib.suppress(TunnelLost):  # told as lost by its keeper; the next may answer
                    return dict((await agent.tunnel.ask("environment"))["environ"])
        return None

    async def network(self) -> dict[str, Any]:
        """An agent's pod's place in its network, as soon as one is connected."""
        while True:
            await self._pods.until(lambda: bool(self.live))
            for agent in self.live:
                if agent.tunnel is not None:
                    with contextlib.suppress(TunnelLost):  # told as lost by its keeper; the next may answer
                        return await agent.tunnel.ask("network")

    def goodbye(self) -> None:
        """The session is over and everything is restored: no agent has to act."""
        self._ending = True
        for agent in self.live:
            if agent.tunnel is not None:
                agent.tunnel.close(Reason.GOODBYE, "the session ended")

    # --- one pod ---------------------------------------------------------------------------------------------------

    async def _keep(self, pod: str) -> None:
        agent = self.by_pod[pod] = AgentTunnel(pod)
        pause, before = FIRST_PAUSE, False
        try:
            found = self._pods.by_name.get(pod)
            if found is not None and not found.running:
                await asyncio.sleep(FIRST_KNOCK)
            while not self._ending:
                try:
                    async with self._open(pod) as tunnel:
                        agent.tunnel = tunnel
                        self.reconnects += before
                        before = True
                        pause = FIRST_PAUSE
                        await self._greet(agent, tunnel)
                        lost = await asyncio.shield(tunnel.ended)
                        self._tell_lost(agent, lost)
                except NotFound:  # gone, as the watch says too; or its node has not heard of it yet
                    if pod not in self._pods.by_name:
                        return
                except TunnelLost as lost:
                    if agent.tunnel is not None:
                        self._tell_lost(agent, lost)
                except PortForwardFailed:  # the container runs, the agent in it doesn't listen yet
                    pass
                except (ApiError, Unreachable):  # told by whoever renews the Lease, once and not per pod
                    pass
                agent.tunnel, agent.armed, agent.round_trip = None, False, 0.0
                self._pods.touch()
                now = self._pods.by_name.get(pod)
                if now is not None and now.over:
                    return
                starting = now is not None and not now.running and not now.ending
                await asyncio.sleep(KNOCK_EVERY if starting else pause * random.uniform(0.5, 1.0))  # noqa: S311  no secret
                pause = pause if starting else min(pause * 2, LONGEST_PAUSE)
        finally:
            if self.by_pod.get(pod) is agent:  # else the next pod of that name is kept already
                del self.by_pod[pod]
            self._pods.touch()

    @asynccontextmanager
    async def _open(self, pod: str) -> AsyncIterator[Tunnel]:
        forward = await self._cluster.port_forward(self._namespace, pod, self._port)
        tunnel = Tunnel(self._session, self._local, watcher=self._watcher(pod) if self._watcher is not None else None)
        inner = TlsLayer(self._context, server_side=False, server_hostname=self._session)
        try:
            await tunnel.start(forward.sock, [*forward.layers, inner], forward.early)
            yield tunnel
        finally:
            tunnel.close(Reason.CANCELLED)

    async def _greet(self, agent: AgentTunnel, tunnel: Tunnel) -> None:
        if self._armed:
            await tunnel.ask("arm")
            agent.armed = True
        self._pods.touch()
        self._teller.tell(Event("connected", f"pod {agent.pod}", details={"pod": agent.pod}))
        if self._armed:
            await self._probe(agent, tunnel)

    async def _probe(self, agent: AgentTunnel, tunnel: Tunnel) -> str:
        """Call the pod's own ports through the local process; "" when that worked, else the failing hop."""
        try:
            answer = await tunnel.ask("probe")
        except TunnelLost as lost:
            return lost.text
        agent.round_trip = float(answer.get("ms", 0.0)) if answer.get("ok") else 0.0
        self._pods.touch()
        return "" if answer.get("ok") else str(answer.get("error", "the agent can't probe"))

    async def _ask_all(self, action: str, **fields: object) -> None:
        """Ask every agent at once; one that is lost meanwhile is asked again when it is back, or is gone for good."""
        async with asyncio.TaskGroup() as group:
            for agent in self.live:
                assert agent.tunnel is not None
                asking = self._ask(agent, agent.tunnel, action, fields)
                group.create_task(asking, name=f"{action} {agent.pod}")

    async def _ask(self, agent: AgentTunnel, tunnel: Tunnel, action: str, fields: dict[str, object]) -> None:
        try:
            await tunnel.ask(action, fields)
        except TunnelLost:  # also one that ended before this task began
            return
        if action == "arm" and agent.tunnel is tunnel:
            agent.armed = True
            self._pods.touch()

    def _tell_lost(self, agent: AgentTunnel, lost: TunnelLost) -> None:
        agent.tunnel = None
        pod = self._pods.by_name.get(agent.pod)
        if not self._ending and lost.reason is not Reason.GOODBYE and pod is not None and not pod.ending:
            details = {"pod": agent.pod, "reason": lost.reason.name.lower()}
            self._teller.tell(Event("lost", f"pod {agent.pod}: {lost.text}; connecting again", details=details))
