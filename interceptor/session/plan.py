"""The look before anything changes: from options to a Plan, or to the error that says why not; `intercept` calls it."""

from __future__ import annotations

import asyncio
import getpass
import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Forbidden
from interceptor.kube.resources import SERVICES
from interceptor.session.guarding import choose_guard
from interceptor.session.options import InterceptOptions
from interceptor.swap import SwapPlan
from interceptor.swap.exchange import by_hand
from interceptor.workload import allowed, objects, preflight, rights, shapes, target
from interceptor.workload.change import swap_patch
from interceptor.workload.inspect import PodFacts, inspect
from interceptor.workload.kinds import POD, kind_of, ref_of, replicas_of, title_of
from interceptor.workload.names import new_session
from interceptor.workload.objects import SessionNames
from interceptor.workload.own_command import own_command
from interceptor.workload.podlist import list_pods
from interceptor.workload.ports import PortMap, choose_ports, free_ports
from interceptor.workload.revision import newest
from interceptor.workload.role import role, yaml_of
from interceptor.workload.stand_in import stand_in_body

Object = dict[str, Any]

PUBLIC_IMAGE = "python:3.13-slim"
OWN = "own"


@dataclass(frozen=True)
class Plan:
    """Everything decided, nothing done."""

    names: SessionNames
    workload: Object
    swap: SwapPlan
    ports: tuple[PortMap, ...]
    facts: PodFacts
    tunnel_port: int
    notes: tuple[str, ...]
    rolling: bool
    wanted: tuple[rights.Right, ...]
    lacking: tuple[rights.Right, ...]
    guarded: bool  # the agents may restore
    revision: str = ""  # of the pods that may be exchanged, where that is done by hand
    app: Object | None = None  # where the agents may not restore: what they start in their own place

    @property
    def title(self) -> str:
        """As people name it."""
        return self.names.ref.title

    @property
    def replicas(self) -> int:
        """How many pods it had when we looked."""
        return replicas_of(self.workload)


async def look(cluster: Cluster, options: InterceptOptions) -> Plan:
    """Find the workload, judge it, ask its container; raises the first thing that stands in the way."""
    namespace = cluster.namespace
    workload = await target.resolve(cluster, namespace, options.target)
    name = workload["metadata"]["name"]
    container = target.choose_container(workload, options.container)
    _raise_first([*preflight.judge(workload).errors, *shapes.judge(workload, container).errors])
    kind, ref = kind_of(workload), ref_of(workload, namespace)
    async with asyncio.TaskGroup() as group:
        services = group.create_task(_services(cluster, namespace), name="read services")
        wanted = rights.needed(kind, name, guard=options.guard, by_hand=by_hand(workload))
        lacking = group.create_task(allowed.missing(cluster, namespace, wanted), name="read rights")
        around = group.create_task(preflight.look(cluster, namespace), name="look around")
        pods = group.create_task(list_pods(cluster, ref, workload), name="list pods")
        asking = inspect(cluster, ref, workload, container, listed=pods)
        facts = group.create_task(asking, name="ask the container")
        revision = group.create_task(newest(cluster, ref, workload), name="read revisions")
    findings = preflight.judge(workload, around.result(), pods.result(), hold=options.hold)
    found = [findings, shapes.judge(workload, container)]
    found.append(shapes.judge_pods(workload, revision.result(), pods.result()))
    _raise_first(found[-1].errors)
    if options.home.mounts:
        from interceptor.session.places import check_mounts  # noqa: PLC0415  a start counts, and few name volumes

        check_mounts(options.home, workload, pods.result(), container)
    ports = choose_ports(options.ports, workload, container, services.result())
    session = new_session(name)
    names = SessionNames(session, namespace, name, kind)
    tunnel_port, health_port = free_ports(workload, 2)
    image, python = choose_agent(options.agent_image, facts.result())
    app = own_command(workload, container, facts.result()) if image is None else None
    guarding = choose_guard(title_of(workload), namespace, options, lacking.result(), app)
    swap = swap_plan(names, container, health_port, image, python)
    return Plan(
        names,
        workload,
        swap,
        ports,
        facts.result(),
        tunnel_port,
        (*(note for one in found for note in one.notes), *guarding.notes),
        any(one.rolling for one in found),
        tuple(wanted),
        tuple(lacking.result()),
        guarding.guarded,
        revision.result(),
        guarding.app,
    )


def choose_agent(wanted: str | None, facts: PodFacts) -> tuple[str | None, str]:
    """The agent's image (None for the container's own) and the Python in it."""
    if wanted == OWN:
        if facts.python is None and facts.asked:
            hint = f"leave --agent-image out, or name an image with Python 3.10 or newer: --agent-image {PUBLIC_IMAGE}"
            raise InterceptorError(f"the agent can't run in the container's own image: {facts.reason}", hint=hint)
        return None, facts.python or "python3"
    if wanted is None and facts.python is not None:
        return None, facts.python
    return wanted or PUBLIC_IMAGE, "python3"


def swap_plan(names: SessionNames, container: str, health_port: int, image: str | None, python: str) -> SwapPlan:
    """The agent in the container's place, by us and from now on."""
    plan = SwapPlan(
        session=names.session,
        container=container,
        command=(),
        holder=holder(),
        since=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        health_port=health_port,
        secret=names.object,
        image=image,
    )
    return replace(plan, command=(python, "-I", f"{plan.mount_path}/agent.pyz"))


def holder() -> str:
    """Who we are to others who want the same workload."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def dry_run(plan: Plan) -> dict[str, list[object]]:
    """What would be written and what is missing, for a person or a program to read."""
    names, owner = plan.names, {"name": plan.names.object, "kind": "Job", "apiVersion": "batch/v1"}
    created = [
        objects.job(names, 60),
        objects.lease(names, owner, plan.swap.holder, datetime.now(UTC), 15),
        objects.service_account(names, owner),
        objects.role(names, owner, plan.workload),
        objects.role_binding(names, owner),
    ]
    secret = {"kind": "Secret", "metadata": {"name": names.object}, "type": "Opaque"}
    if names.kind is POD:
        change = {f"what stands in for {plan.title}": [stand_in_body(plan.workload, names.ref, plan.swap, owner)]}
    else:
        change = {f"patch of {plan.title}": swap_patch(plan.workload, plan.swap)}
    return {
        **{title: list(bodies) for title, bodies in change.items()},
        "objects to be created": [
            *created,
            secret | {"keys": ["agent.pyz", "ca.crt", "config.json", "tls.crt", "tls.key", "token"]},
        ],
        "missing rights": [
            f"{right}" + ("" if right.required else f" (optional: {right.use})") for right in plan.lacking
        ],
        "the Role that allows all of it": [
            *yaml_of([role(plan.wanted, names.lease, names.namespace)]).splitlines(),
        ],
    }


def details_of(plan: Plan) -> dict[str, object]:
    """The fields of the JSON line."""
    return {
        "namespace": plan.names.namespace,
        "workload": plan.title,
        "container": plan.swap.container,
        "session": plan.names.session,
        "agent_image": plan.swap.image or OWN,
        "ports": [
            {"pod": port.pod, "local": port.local, "name": port.name}
            | ({} if port.protocol == "TCP" else {"protocol": port.protocol})
            for port in plan.ports
        ],
    }


def describe(plan: Plan, to_host: str) -> str:
    """One line of words."""
    ports = ", ".join(
        f"{port.pod}{'/udp' if port.protocol == 'UDP' else ''}{f' ({port.name})' if port.name else ''}"
        f" -> {to_host}:{port.local}"
        for port in plan.ports
    )
    image = plan.swap.image or "the container's own image"
    return f"{plan.title}, container {plan.swap.container}: port {ports}; agent in {image}"


async def _services(cluster: Cluster, namespace: str) -> list[Object]:
    try:
        return list((await cluster.list(SERVICES, namespace)).items)
    except Forbidden:
        return []  # then a port must be the container's own, or typed


def _raise_first(errors: list[InterceptorError]) -> None:
    if errors:
        raise errors[0]
