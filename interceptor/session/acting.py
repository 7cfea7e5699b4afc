"""From the first change to the last undo of one intercept; `intercept` reads it while it asks the cluster, then runs it.

Every change registers its named undo before it is made. Whatever ends the session (COMMAND, Ctrl-C, an error, somebody
else) leads through the same undo; if this process dies instead, the agents in the pods do it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.mesh.traffic.hub import Hub
from interceptor.sandbox.proxy import Proxy
from interceptor.session import before, setup
from interceptor.session.events import Event, Teller
from interceptor.session.exchange import Exchange
from interceptor.session.gone import NamespaceEnds, explain, watch_namespace
from interceptor.session.history import allow_forgetting
from interceptor.session.in_place import watch_agents
from interceptor.session.keeper import Keeper, Stage
from interceptor.session.localside import addresses_of
from interceptor.session.metrics import reserved, serve_metrics
from interceptor.session.observing import about_session, is_wanted, name_routes, open_control, state_of
from interceptor.session.options import InterceptOptions
from interceptor.session.others import Others
from interceptor.session.plan import Plan
from interceptor.session.pods import Pods
from interceptor.session.restore import Restorer
from interceptor.session.services import Services, with_services
from interceptor.session.tunnels import Tunnels
from interceptor.session.undo import Undo, not_taken_back
from interceptor.tunnel.aio import AsyncioPoller
from interceptor.tunnel.local import LocalSide
from interceptor.workload.change import apply_swap
from interceptor.workload.lease import HeldLease

if TYPE_CHECKING:
    from interceptor.session.serving import Serving

QUIET = 0.1  # seconds
QUIET_AT_MOST = 0.5


async def act(cluster: Cluster, plan: Plan, options: InterceptOptions, teller: Teller, agent: bytes) -> int:
    """Do what was planned, with this zipapp; returns COMMAND's exit status."""
    with reserved(options.metrics) as metrics:
        return await _Session(cluster, plan, options, teller, metrics, agent).run()


class _Session:
    """What lives between the first change and the last undo."""

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        options: InterceptOptions,
        teller: Teller,
        metrics: socket.socket | None,
        agent: bytes,
    ) -> None:
        self._cluster, self._plan, self._options, self._teller = cluster, plan, options, teller
        self._metrics, self._agent = metrics, agent
        self._undo = Undo()
        self._restorer: Restorer | None = None

    async def run(self) -> int:
        """Act and serve; undo whatever happens."""
        return await with_services(self._act, self._take_back)

    async def _act(self, services: Services) -> int:
        cluster, plan, options, teller = self._cluster, self._plan, self._options, self._teller
        names, began = plan.names, time.monotonic()
        with teller.busy("creating the session's objects"):
            made = setup.make(names.session, self._agent)
            owner, round_trip = await setup.begin(cluster, plan, self._undo)
            keeper = Keeper(cluster, names, teller, services.end)
            services.start("push the deadline", keeper.push_deadline())
            held = await setup.lock(cluster, plan, owner, self._undo, teller, round_trip=round_trip)
            services.start("renew the lease", keeper.renew_lease(held))
            context = await setup.set_up(cluster, plan, options, owner, made)

        pods = Pods(cluster, names.ref, plan.workload, plan.swap.container)
        exchange = Exchange(cluster, names.ref, plan.workload, pods, revision=plan.revision)
        local = LocalSide(
            AsyncioPoller(asyncio.get_running_loop()),
            await addresses_of(plan.ports, options.to_host),
            options.hold,
            self._tell_listening,
        )
        hub = Hub(call_later=asyncio.get_running_loop().call_later)
        watcher = hub.watcher if is_wanted() else None
        tunnels = Tunnels(
            cluster, names.namespace, names.session, context, plan.tunnel_port, pods, local, teller, watcher
        )
        proxy, figures = Proxy(tunnels), before.nothing_yet()
        state = partial(state_of, tunnels, plan, options.to_host)
        for name, service in (
            ("watch the pods", pods.watch()),
            ("ask for the figures before", before.take(cluster, names.ref, pods, figures)),
            ("keep the tunnels", tunnels.serve()),
            ("serve the proxy", proxy.serve()),
            ("answer other commands", open_control(cluster, plan, hub, teller, figures, state).serve()),
            ("settle", self._settle(pods, tunnels, held, keeper)),
        ):
            services.start(name, service)
        if self._metrics is not None:
            serving = serve_metrics(self._metrics, about_session(cluster, plan), hub, tunnels, teller)
            services.start("serve the metrics", serving)
        if plan.app is not None:
            services.start("watch for agents that gave up", watch_agents(cluster, plan, pods, tunnels, services.end))
        if plan.guarded:
            services.start("renew the agents' token", keeper.renew_token())
            services.start("let the agents tidy up", allow_forgetting(cluster, names, pods))

        self._restorer = Restorer(cluster, plan, pods, tunnels, local, teller, keeper, exchange)
        self._undo.add("the swap", self._restorer.restore)
        services.raise_if_over()  # the lock was lost meanwhile: not to be swapped any more
        # Without a guard the template may stay swapped for long, and its pods need the Secret whenever they start.
        outlive = keeper.swapping if plan.guarded else keeper.remember
        swapped = await apply_swap(cluster, names.ref, plan.swap, outlive, seen=plan.workload)
        self._restorer.applied = True
        keeper.swapped()
        teller.tell(
            Event(
                "swapped",
                f"{plan.title}: its pods are exchanged for ones that run the agent",
                time.monotonic() - began,
                {"workload": plan.title},
            )
        )
        others = self._restorer.others = Others(cluster, plan, swapped, teller, services.end)
        services.start("exchange the pods", exchange.serve(keeper.remember))
        loading = asyncio.get_running_loop().run_in_executor(None, _load_serving)
        await self._leave_alone(pods)
        services.start("read the routes' names", name_routes(cluster, plan, hub))
        services.start("watch the workload", others.watch())
        services.start("watch the namespace", watch_namespace(cluster, plan, pods, services.end))
        here = (await loading)(cluster, plan, options, teller, pods, tunnels, local, proxy, exchange, services.end)
        try:
            return await here.run(self._raise_when_over(services))
        finally:
            self._restorer.process_gone = bool(options.command)

    async def _leave_alone(self, pods: Pods) -> None:
        """Ask nothing that can wait while the first agent's pod gets to its node.

        A kubelet asks for a pod's Secret at once, but may read it only when the API server has seen, too, that the pod is
        there. Where the API server is busy the kubelet is faster, is refused, and tries again 1 to 2 s later: so went a
        quarter of all starts on two processors.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_AT_MOST):
                await pods.until(lambda: any(pod.scheduled for pod in pods.agents(self._plan.names.session)))
                await asyncio.sleep(QUIET)

    async def _settle(self, pods: Pods, tunnels: Tunnels, held: HeldLease, keeper: Keeper) -> None:
        """Once an agent lives that would see us die, everything that ends by itself may take longer."""
        await pods.until(lambda: bool(tunnels.live))
        held.settle()
        keeper.enter(Stage.HELD)

    async def _raise_when_over(self, services: Services) -> None:
        """End COMMAND when the session is over, but only once others serve its callers, where that can be."""
        error = await explain(self._cluster, self._plan, await services.until_over())
        self._teller.tell(Event("ending", getattr(error, "message", str(error))))
        if self._restorer is not None:
            self._restorer.forsaken = isinstance(error, NamespaceEnds)
            with suppress(InterceptorError):  # tried again, and then told, when COMMAND has ended
                await self._restorer.restore()
        raise error

    def _tell_listening(self, port: int, listening: bool) -> None:
        where = f"{self._options.to_host}:{port}"
        if listening:
            self._teller.tell(Event("note", f"something listens on {where}", details={"port": port}))
        else:
            text = f"nothing listens on {where}; callers wait up to {self._options.hold:g} s"
            self._teller.tell(Event("waiting", text, details={"port": port}))

    async def _take_back(self) -> None:
        began = time.monotonic()
        changed = bool(self._undo)
        failures = await self._undo.run()
        if self._restorer is not None:
            self._restorer.part()
        if failures:
            raise not_taken_back(failures, failures[0].error.hint)
        if changed:
            text = self._restorer.words() if self._restorer is not None else f"{self._plan.title} was not changed"
            details = {"kept": self._restorer.kept if self._restorer is not None else []}
            self._teller.tell(Event("restored", text, time.monotonic() - began, details))


def _load_serving() -> type[Serving]:
    """In a thread, once the cluster has something to do: what serves takes 0.05 s to import."""
    from interceptor.session.serving import Serving  # noqa: PLC0415

    return Serving
