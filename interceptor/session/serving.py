"""From the swap to the end of COMMAND: its home, its readiness and that of every pod; `intercept` runs it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from interceptor.kube import Cluster
from interceptor.sandbox.proxy import Proxy
from interceptor.session.container import container_environment, write_file
from interceptor.session.events import Event, Teller
from interceptor.session.exchange import Exchange
from interceptor.session.home import Wanted, begin_home, open_home
from interceptor.session.localside import is_loopback, until_listening
from interceptor.session.options import InterceptOptions
from interceptor.session.plan import Plan
from interceptor.session.pods import Pods
from interceptor.session.tunnels import Tunnels
from interceptor.session.volumes import open_volumes
from interceptor.tunnel.dial import Make
from interceptor.tunnel.local import LocalSide
from interceptor.workload.trouble import watch_for_trouble

ROLLOUT_TIME = 300.0  # seconds for ours


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves the workload's callers on this machine. `end` ends the session for a reason."""

    cluster: Cluster
    plan: Plan
    options: InterceptOptions
    teller: Teller
    pods: Pods
    tunnels: Tunnels
    local: LocalSide
    proxy: Proxy
    exchange: Exchange
    end: Callable[[Exception], None]

    async def run(self, over: Coroutine[Any, Any, None]) -> int:
        """COMMAND's exit status; without one until cancelled. `over` raises when the session ends before."""
        plan, pods, tunnels, proxy = self.plan, self.pods, self.tunnels, self.proxy
        async with asyncio.TaskGroup() as group:
            watchers = [
                group.create_task(over, name="end of the session"),
                group.create_task(
                    watch_for_trouble(self.cluster, plan.names.ref, plan.names.session),
                    name="trouble",
                ),
            ]
            try:
                async with begin_home(self.options.home, self.options.command) as begun:
                    with self.teller.busy("waiting for the first agent"):
                        environ = await self._environment()
                    if not self.options.command:
                        await self._get_ready(watchers[1])  # until cancelled
                    ports = {(port.protocol, number) for port in plan.ports for number in (port.pod, port.local)}
                    await pods.until(lambda: bool(pods.agents(plan.names.session)))
                    pod = pods.agents(plan.names.session)[0].raw
                    home_options = self.options.home
                    async with (
                        open_volumes(home_options, tunnels, pod, plan.swap, self.teller, self.end) as volumes,
                        open_home(
                            home_options,
                            Wanted(self.options.command, environ, tuple(ports), volumes, begun),
                            tunnels,
                            proxy,
                            self.teller,
                        ) as home,
                    ):
                        make: Make = socket.socket
                        if home.pool is not None and is_loopback(self.options.to_host):
                            make = home.pool.take
                            self.local.enter(make)
                        ready = self._get_ready(watchers[1], make)
                        watchers.append(group.create_task(ready, name="get ready"))
                        status = await home.run()
            finally:
                for watcher in watchers:
                    watcher.cancel()
        return status

    async def _environment(self) -> dict[str, str]:
        """The container's environment, and the way out told to whoever starts a process."""
        pod = await container_environment(self.plan, self.pods, self.tunnels, self.options.home)
        if self.options.env_file is not None:
            write_file(self.options.env_file, pod, self.options.home, self.proxy.address, self.teller)
        address = self.proxy.address
        self.teller.tell(
            Event(
                "note",
                f"the pod's network by proxy: {address.http} and {address.socks}",
                details={"http_proxy": address.http, "socks_proxy": address.socks},
            )
        )
        return pod

    async def _get_ready(self, trouble: asyncio.Task[None], make: Make = socket.socket) -> None:
        """Let callers come once the local process listens; say ready when a probe went through every agent."""
        plan, pods, tunnels, began = self.plan, self.pods, self.tunnels, time.monotonic()
        await until_listening(plan.ports, self.options.to_host, self.options.hold, self.teller, make)
        await tunnels.arm()
        with self.teller.busy("waiting for the rollout"):
            await self.exchange.until_swapped(ROLLOUT_TIME)
        trouble.cancel()
        session = plan.names.session
        while True:
            with self.teller.busy("probing every agent"):
                await tunnels.until_probed(session)
            served = [pod.name for pod in pods.agents(session)]
            slowest = max((agent.round_trip for agent in tunnels.live if agent.pod in served), default=0.0)
            self.teller.tell(
                Event(
                    "ready",
                    f"{plan.title}: {len(served)} of {len(served)} pods are served here, {slowest:.1f} ms round trip",
                    time.monotonic() - began,
                    {"pods": served, "round_trip_ms": slowest},
                )
            )
            # Said again whenever a pod has come (scale up, eviction) or come back (its tunnel was lost).
            await pods.until(partial(tunnels.unproven, session, served))
            began = time.monotonic()
