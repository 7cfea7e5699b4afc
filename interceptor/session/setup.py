"""Creates what a session owns in the cluster before the swap, each with its undo; `intercept` calls it, in this order.

All of it belongs to the session object (a Job that never has a pod): deleting that one removes the rest, and the cluster
does so by itself when nobody pushes the Job's deadline ahead.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from interceptor.kube import Cluster, NotFound
from interceptor.kube.resources import JOBS, ROLE_BINDINGS, ROLES, SECRETS, SERVICE_ACCOUNTS
from interceptor.session.events import Event, Teller
from interceptor.session.keeper import TOKEN_SECONDS, Stage
from interceptor.session.options import InterceptOptions
from interceptor.session.plan import Plan
from interceptor.session.undo import Undo
from interceptor.workload import lease, objects, zipapp
from interceptor.workload.authority import Authority
from interceptor.workload.kinds import grace_of
from interceptor.workload.lease import HeldLease
from interceptor.workload.objects import SessionNames
from interceptor.workload.podlist import queries

ROLE_KNOWN_WITHIN = 5.0  # seconds for the API server to learn of a Role it has just stored

Object = dict[str, Any]
Made = tuple[Authority, bytes]
"""Certificates, and the agent's zipapp."""


async def begin(cluster: Cluster, plan: Plan, undo: Undo) -> tuple[Object, float]:
    """Create the session object; returns the owner reference to it, and how long that call took."""
    names = plan.names

    async def delete_session() -> None:
        try:
            await cluster.delete(JOBS, names.namespace, names.object)
        except NotFound:
            return  # never created, or an agent was faster

    undo.add("the session object", delete_session)
    began = asyncio.get_running_loop().time()
    job = await cluster.create(JOBS, names.namespace, objects.job(names, Stage.ALONE.ahead))
    return objects.owner_reference(job), asyncio.get_running_loop().time() - began


async def lock(
    cluster: Cluster, plan: Plan, owner: Object, undo: Undo, teller: Teller, *, round_trip: float
) -> HeldLease:
    """Take the lock on the workload; from now on it has to be renewed."""
    held: list[HeldLease] = []

    async def release() -> None:
        for one in held:
            await one.release()

    undo.add("the lease", release)
    held.append(
        await lease.acquire(
            cluster,
            plan.names,
            owner,
            plan.swap.holder,
            waiting=lambda text: teller.tell(Event("waiting", text)),
            round_trip=round_trip,
        )
    )
    return held[0]


def make(session: str, agent: bytes | None = None) -> asyncio.Future[Made]:
    """Begin with what asks nobody, beside the calls: certificates, and the agent's zipapp where it is not there yet."""
    return asyncio.get_running_loop().run_in_executor(None, _make, session, agent)


async def set_up(
    cluster: Cluster,
    plan: Plan,
    options: InterceptOptions,
    owner: Object,
    made: asyncio.Future[Made],
) -> ssl.SSLContext:
    """Create the rest, and be ready for the swap; returns what the tunnels show and believe.

    In as few steps as there are answers to wait for: each is a way to the API server and back.
    """
    names = plan.names
    async with asyncio.TaskGroup() as group:
        token = b""
        if plan.guarded:
            await cluster.create(SERVICE_ACCOUNTS, names.namespace, objects.service_account(names, owner))
            role = objects.role(names, owner, plan.workload)
            group.create_task(bind(cluster, names, owner, role), name="bind the role")
            token = (await cluster.token(names.namespace, names.object, TOKEN_SECONDS))[0].encode()
        authority, files = await _files(plan, options, made, token)
        await cluster.create(SECRETS, names.namespace, objects.secret(names, owner, files))
    return authority.client_context()


async def _files(
    plan: Plan, options: InterceptOptions, made: asyncio.Future[Made], token: bytes
) -> tuple[Authority, dict[str, bytes]]:
    """What the Secret holds; the agents' token is their right to restore."""
    names = plan.names
    authority, agent = await made
    files = {
        **authority.agent_files(),
        "agent.pyz": agent,
        "config.json": objects.config(
            names,
            holder=plan.swap.holder,
            tunnel_port=plan.tunnel_port,
            health_port=plan.swap.health_port,
            ports=plan.ports,
            hold=options.hold,
            grace=grace_of(plan.workload["spec"]["template"]),
            guard=plan.guarded,
            app=plan.app,
            pods=queries(names.ref, plan.workload)[0],
        ),
        "token": token,
    }
    return authority, files


def _make(session: str, agent: bytes | None) -> Made:
    return Authority.create(session), zipapp.build() if agent is None else agent


async def bind(cluster: Cluster, names: SessionNames, owner: Object, role: Object) -> None:
    """Create a session's Role and bind it.

    The API server must know the Role before a user without the right `bind` may bind it, and learns of new Roles from a
    cache of its own: until then it answers that there is none.
    """
    await cluster.create(ROLES, names.namespace, role)
    deadline = asyncio.get_running_loop().time() + ROLE_KNOWN_WITHIN
    while True:
        try:
            await cluster.create(ROLE_BINDINGS, names.namespace, objects.role_binding(names, owner))
        except NotFound:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return
