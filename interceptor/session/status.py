"""Sends a probe along the whole path of each intercept and names the hop that fails; `cli.status` prints what comes back.

Nothing of the running client is asked here: this is another process, perhaps on another machine. It looks at the cluster
as any client does, reaches each agent's health port through a port-forward of its own, hears the agent's view, and has it
call the pod's own port as a caller would: from there through tunnel and client to the local process, and the word back.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, Forbidden, NotFound, PortForwardFailed, Unreachable, resources
from interceptor.session import holdings
from interceptor.session.ask_pod import ask_pod
from interceptor.session.holding import Holding
from interceptor.session.hops import AgentHops, Hop, Report
from interceptor.session.pods import Pod
from interceptor.workload import services
from interceptor.workload.life import SIGN_OF_LIFE
from interceptor.workload.policy import is_policy

Object = dict[str, Any]
Result = TypeVar("Result")

MOST_PODS = 50
AT_ONCE = 8
ASK_WITHIN = 5.0
PROBE_WITHIN = 32.0  # the agent itself gives up after 5 s a port


class NotIntercepted(InterceptorError):
    """There is no way to probe."""


async def status(cluster: Cluster, wanted: str | None, *, everywhere: bool = False) -> list[Report]:
    """One workload's way, or those of all sessions in the namespace (or everywhere).

    Raises Unreachable where the API server itself is the failing hop.
    """
    began = time.monotonic()
    with suppress(Forbidden):  # that is an answer too
        await cluster.version()
    reached = Hop("API server", "ok", cluster.server, _ms(began))
    if wanted is not None:
        holding = await holdings.find_one(cluster, wanted)
        if not holding.session:
            raise NotIntercepted(f"{holding.workload} is not intercepted", hint="who holds what: interceptor list -A")
        found = [holding]
    else:
        sessions = (await holdings.find(cluster, None if everywhere else cluster.namespace)).sessions
        found = [one for one in sessions if not is_policy(one.ref)]  # on a changed route there is no path to probe
    reports = [Report(holding, [reached]) for holding in found]
    async with asyncio.TaskGroup() as group:
        for report in reports:
            group.create_task(_Path(cluster, report).follow(), name=f"probe {report.holding.session}")
    return reports


class _Path:
    """Fills one report."""

    def __init__(self, cluster: Cluster, report: Report) -> None:
        self._cluster, self._report, self._holding = cluster, report, report.holding
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._denied: list[Forbidden] = []

    async def follow(self) -> None:
        """Look at every hop; what can't be looked at for lack of a right is one finding."""
        pods = await self._pods()
        async with asyncio.TaskGroup() as group:
            followed = [group.create_task(self._agent(pod), name=f"ask {pod.name}") for pod in pods]
            spread = group.create_task(self._spread(), name="read services")
        agents = [task.result() for task in followed]
        ports = sorted({port for hops in agents for port in hops.ports})
        found: list[Hop] = []
        if pods and ports and (around := spread.result()) is not None:
            found += _service_hops(self._holding, pods, ports, *around)
        if not pods:
            found.append(self._no_pods())
        self._report.hops += [*self._rights(), self._client(), *found, *(hop for hops in agents for hop in hops.hops)]

    async def _pods(self) -> list[Pod]:
        async def get(name: str) -> Object | None:
            return await self._may(lambda: self._cluster.get(resources.PODS, self._holding.namespace, name))

        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(get(name), name=f"read {name}") for name in sorted(self._holding.pods)[:MOST_PODS]
            ]
        return [Pod.of(pod, _container(pod)) for task in tasks if (pod := task.result()) is not None]

    async def _may(self, call: Callable[[], Awaitable[Result]]) -> Result | None:
        """None where we may not, or it is gone meanwhile."""
        async with self._gate:
            try:
                return await call()
            except Forbidden as error:
                self._denied.append(error)
            except NotFound:
                pass
        return None

    async def _spread(self) -> tuple[list[Object], list[Object]] | None:
        """Services and EndpointSlices of the namespace."""
        where = self._holding.namespace
        found = await self._may(lambda: self._cluster.list(resources.SERVICES, where))
        slices = await self._may(lambda: self._cluster.list(resources.ENDPOINT_SLICES, where))
        return None if found is None or slices is None else (found.items, slices.items)

    def _rights(self) -> list[Hop]:
        told = dict.fromkeys(error.message for error in self._denied)
        hint = f"ask your cluster's admin for `interceptor rbac -n {self._holding.namespace}`"
        return [Hop("rights", "failed", text, hint=hint) for text in told]

    def _client(self) -> Hop:
        who = self._holding.holder or "somebody"
        if self._holding.alive:
            return Hop("client", "ok", f"{who} renews the Lease")
        if self._holding.alive is None:
            return Hop("client", "skipped", "its Lease may not be read")
        gone = "has no Lease" if self._holding.lease is None else f"has not renewed the Lease for {SIGN_OF_LIFE:g} s"
        where = f"{self._holding.workload} -n {self._holding.namespace}"
        return Hop("client", "failed", f"{who} {gone}", hint=f"to take it back: interceptor restore {where}")

    def _no_pods(self) -> Hop:
        if not self._holding.swapped:
            return Hop("pod", "failed", "nothing is swapped yet", hint="try again in a moment")
        hint = f"see kubectl describe {self._holding.workload} -n {self._holding.namespace}"
        return Hop("pod", "failed", "no pod runs the agent: scaled to 0, or pods can't be created", hint=hint)

    async def _agent(self, pod: Pod) -> AgentHops:
        """Pod, agent, tunnel and local process of one pod."""
        agent = AgentHops(pod)
        if not agent.pod_hop():
            return agent
        port = _health_port(pod.raw)
        began = time.monotonic()
        view = await self._ask(agent, port, "/status", ASK_WITHIN)
        if view is not None and agent.agent_hop(view, _ms(began)):
            probed = await self._ask(agent, port, "/probe", PROBE_WITHIN)
            if probed is not None:
                agent.probe_hop(probed)
        agent.skip_rest()
        return agent

    async def _ask(self, agent: AgentHops, port: int, path: str, within: float) -> Object | None:
        async with self._gate:
            try:
                code, body = await ask_pod(
                    self._cluster, self._holding.namespace, agent.pod.name, port, path, within=within
                )
                answer = json.loads(body) if code == 200 else None
            except Forbidden as error:
                self._denied.append(error)
                return None
            except (PortForwardFailed, Unreachable, ApiError) as error:
                agent.fail("agent", f"it can't be reached: {error.message}", agent.logs)
                return None
            except ValueError:
                answer = None
        if not isinstance(answer, dict):
            agent.fail("agent", f"it does not know {path}: an older one, or none", agent.logs)
            return None
        return answer


def _service_hops(
    holding: Holding, pods: list[Pod], ports: list[int], found: list[Object], slices: list[Object]
) -> list[Hop]:
    name = holding.ref.name if holding.ref is not None else ""
    findings = services.judge(name, [pod.raw for pod in pods], ports, found, slices)
    return [Hop("service", "ok" if one.ok else "failed", one.text, hint=one.hint) for one in findings]


def _container(pod: Object) -> str:
    """The one that runs the agent: the swap pointed its readiness at us."""
    for container in pod["spec"]["containers"]:
        if any(word.endswith("/agent.pyz") for word in container.get("command") or []):
            return str(container["name"])
    return str(pod["spec"]["containers"][0]["name"])


def _health_port(pod: Object) -> int:
    name = _container(pod)
    container = next(item for item in pod["spec"]["containers"] if item["name"] == name)
    return int(((container.get("readinessProbe") or {}).get("httpGet") or {}).get("port", 0))


def _ms(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
