"""One `interceptor run`, readable from top to bottom: look, start a pod beside the workload, run COMMAND, undo.

Nothing of the workload changes. All that is created belongs to the session object (a Job that never has a pod), whose
deadline this program pushes ahead: when it is gone, the cluster removes the rest within half a minute.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time

from interceptor.kube import Cluster, NotFound
from interceptor.kube.resources import PODS, SECRETS
from interceptor.mesh.traffic.hub import Hub
from interceptor.sandbox.proxy import Proxy
from interceptor.session import setup
from interceptor.session.access import open_cluster
from interceptor.session.container import container_environment, write_file
from interceptor.session.control import Control
from interceptor.session.events import Event, Teller
from interceptor.session.home import Wanted, begin_home, check_home, open_home
from interceptor.session.keeper import Keeper, Stage
from interceptor.session.metrics import reserved, serve_metrics
from interceptor.session.observing import about_session, is_wanted
from interceptor.session.options import RunOptions
from interceptor.session.places import check_places
from interceptor.session.pods import Pods
from interceptor.session.run_plan import RunPlan, describe, details_of, dry_run, look
from interceptor.session.services import Services, with_services
from interceptor.session.tunnels import Tunnels
from interceptor.session.undo import Undo, not_taken_back
from interceptor.session.volumes import open_volumes
from interceptor.swap import SESSION_ANNOTATION
from interceptor.tunnel.aio import AsyncioPoller
from interceptor.tunnel.local import LocalSide
from interceptor.workload import objects
from interceptor.workload.podlist import PodQuery
from interceptor.workload.trouble import watch_pod_for_trouble

END_WITHIN = 1  # seconds for the agent, which has no callers
ALONE = 20.0  # seconds without this program after which the agent ends by itself


async def run(options: RunOptions, teller: Teller) -> int:
    """Run COMMAND in the world of a pod like the workload's; its exit status, or 0 for a dry run.

    Raises InterceptorError for everything a person can mend.
    """
    began = time.monotonic()
    await check_places(options.home)
    await check_home(options.home, options.command)
    async with open_cluster(options.access) as cluster:
        with teller.busy(f"looking at {options.target}"):
            planned = await look(cluster, options)
        details = details_of(planned)
        if options.dry_run:
            details["plan"] = dry_run(planned)
        teller.tell(Event("planned", describe(planned), time.monotonic() - began, details))
        if options.dry_run:
            return 0
        with reserved(options.metrics) as metrics:
            return await _Run(cluster, planned, options, teller, metrics).run()


class _Run:
    """What lives between the first change and the last undo."""

    def __init__(
        self, cluster: Cluster, planned: RunPlan, options: RunOptions, teller: Teller, metrics: socket.socket | None
    ) -> None:
        self._cluster, self._planned, self._options, self._teller = cluster, planned, options, teller
        self._metrics = metrics
        self._undo = Undo()

    async def run(self) -> int:
        """Act and serve; undo whatever happens."""
        return await with_services(self._act, self._take_back)

    async def _act(self, services: Services) -> int:
        cluster, plan, names = self._cluster, self._planned.plan, self._planned.names
        began = time.monotonic()
        with self._teller.busy("starting a pod"):
            made = setup.make(names.session)
            keeper = Keeper(cluster, names, self._teller, services.end)
            owner, _ = await setup.begin(cluster, plan, self._undo)
            services.start("push the deadline", keeper.push_deadline())
            keeper.enter(Stage.BESIDE)
            context = await self._create(owner, made)
        pods = Pods(
            cluster,
            names.ref,
            plan.workload,
            plan.swap.container,
            only=PodQuery(label=f"{SESSION_ANNOTATION}={names.session}"),
        )
        local = LocalSide(AsyncioPoller(asyncio.get_running_loop()), {}, 0.0, lambda *_: None)
        hub = Hub(call_later=asyncio.get_running_loop().call_later)
        watcher = hub.watcher if is_wanted() else None
        tunnels = Tunnels(
            cluster, names.namespace, names.session, context, plan.tunnel_port, pods, local, self._teller, watcher
        )
        self._undo.add("the tunnel", lambda: _say_goodbye(tunnels))
        proxy = Proxy(tunnels)
        services.start("watch the pod", pods.watch())
        services.start("keep the tunnel", tunnels.serve())
        services.start("serve the proxy", proxy.serve())
        control = Control(hub, about_session(cluster, plan, beside=True), self._teller)
        services.start("answer other commands", control.serve())
        if self._metrics is not None:
            serving = serve_metrics(self._metrics, about_session(cluster, plan), hub, tunnels, self._teller)
            services.start("serve the metrics", serving)
        return await self._serve(services, pods, tunnels, proxy, began)

    async def _create(self, owner: objects.Object, made: asyncio.Future[setup.Made]) -> ssl.SSLContext:
        """Create the pod and its files; the kubelet waits for the Secret, so that the two may come in any order."""
        plan, names = self._planned.plan, self._planned.names
        authority, agent = await made
        config = objects.config(
            names,
            holder=plan.swap.holder,
            tunnel_port=plan.tunnel_port,
            health_port=plan.swap.health_port,
            ports=(),
            grace=END_WITHIN,
            guard=False,
            alone=ALONE,
        )
        files = {**authority.agent_files(), "agent.pyz": agent, "config.json": config, "token": b""}
        planned = self._planned.pod(owner)
        for note in planned.notes:
            self._teller.tell(Event("note", note))
        await self._cluster.create(SECRETS, names.namespace, objects.secret(names, owner, files))
        self._undo.add("the pod", self._delete_pod)
        await self._cluster.create(PODS, names.namespace, planned.pod)
        return authority.client_context()

    async def _delete_pod(self) -> None:
        names = self._planned.names
        try:
            await self._cluster.delete(PODS, names.namespace, names.object, grace=END_WITHIN)
        except NotFound:
            return  # never created, or the cluster was faster

    async def _serve(self, services: Services, pods: Pods, tunnels: Tunnels, proxy: Proxy, began: float) -> int:
        """From the agent's first sign to the end of COMMAND, or of the session."""
        names, plan, options = self._planned.names, self._planned.plan, self._options
        async with asyncio.TaskGroup() as group:
            watchers = [
                group.create_task(services.raise_when_over(), name="end of the session"),
                group.create_task(watch_pod_for_trouble(self._cluster, names.namespace, names.object), name="trouble"),
            ]
            try:
                async with begin_home(options.home, options.command) as begun:
                    with self._teller.busy("waiting for the pod"):
                        environ = await container_environment(plan, pods, tunnels, options.home)
                    if options.env_file is not None:
                        write_file(options.env_file, environ, options.home, proxy.address, self._teller)
                    text = f"pod {names.object} is up, {plan.title} is untouched"
                    self._teller.tell(Event("ready", text, time.monotonic() - began, {"pod": names.object}))
                    pod = pods.by_name[names.object].raw
                    async with open_volumes(
                        options.home, tunnels, pod, plan.swap, self._teller, services.end
                    ) as volumes:
                        wanted = Wanted(options.command, environ, volumes=volumes, begun=begun)
                        async with open_home(options.home, wanted, tunnels, proxy, self._teller) as home:
                            status = await home.run()
            finally:
                for watcher in watchers:
                    watcher.cancel()
        return status

    async def _take_back(self) -> None:
        began = time.monotonic()
        names, changed = self._planned.names, bool(self._undo)
        failures = await self._undo.run()
        if failures:
            hint = f"the cluster removes it by itself, or: kubectl delete job {names.object} -n {names.namespace}"
            raise not_taken_back(failures, hint)
        if changed:
            self._teller.tell(Event("restored", f"pod {names.object} is gone", time.monotonic() - began))


async def _say_goodbye(tunnels: Tunnels) -> None:
    tunnels.goodbye()
