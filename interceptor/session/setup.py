"""Creates what a session owns in the cluster before the swap, each with its undo; `intercept` calls it.

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
from interceptor.session.keeper import TOKEN_SECONDS
from interceptor.session.options import InterceptOptions
from interceptor.session.plan import Plan
from interceptor.session.undo import Undo
from interceptor.workload import lease, objects, zipapp
from interceptor.workload.authority import Authority
from interceptor.workload.lease import HeldLease
from interceptor.workload.selectors import pods_query

FIRST_DEADLINE = 60  # seconds until the session object ends by itself, should we die before the first push
ROLE_KNOWN_WITHIN = 5.0  # seconds for the API server to learn of a Role it has just stored


async def set_up(
    cluster: Cluster, plan: Plan, options: InterceptOptions, undo: Undo, teller: Teller
) -> tuple[HeldLease, ssl.SSLContext]:
    """Take the lock and create the rest; returns the lock, and what the tunnels show and believe."""
    names = plan.names
    made = asyncio.get_running_loop().run_in_executor(None, _make, names.session)  # 0.1 s of CPU beside the calls

    async def delete_session() -> None:
        try:
            await cluster.delete(JOBS, names.namespace, names.object)
        except NotFound:
            return  # never created, or an agent was faster

    undo.add("the session object", delete_session)
    job = await cluster.create(JOBS, names.namespace, objects.job(names, FIRST_DEADLINE))
    owner = objects.owner_reference(job)
    held: list[HeldLease] = []

    async def release() -> None:
        for one in held:
            await one.release()

    undo.add("the lease", release)
    held.append(
        await lease.acquire(
            cluster, names, owner, plan.swap.holder, waiting=lambda text: teller.tell(Event("waiting", text))
        )
    )
    authority, agent = await made
    files = {
        **authority.agent_files(),
        "agent.pyz": agent,
        "config.json": objects.config(
            names,
            holder=plan.swap.holder,
            tunnel_port=plan.tunnel_port,
            health_port=plan.swap.health_port,
            ports=plan.swap.ports,
            hold=options.hold,
            guard=options.guard,
            selector=pods_query(plan.workload),
        ),
    }
    files["token"] = (await _guard(cluster, plan, owner)).encode() if options.guard else b""
    await cluster.create(SECRETS, names.namespace, objects.secret(names, owner, files))
    return held[0], authority.client_context()


def _make(session: str) -> tuple[Authority, bytes]:
    """What costs CPU and asks nobody."""
    return Authority.create(session), zipapp.build()


async def _guard(cluster: Cluster, plan: Plan, owner: dict[str, Any]) -> str:
    """Give the agents the right to restore; returns their token."""
    names = plan.names
    await cluster.create(SERVICE_ACCOUNTS, names.namespace, objects.service_account(names, owner))
    async with asyncio.TaskGroup() as group:
        token = group.create_task(cluster.token(names.namespace, names.object, TOKEN_SECONDS), name="ask for a token")
        group.create_task(_bind(cluster, plan, owner), name="bind the role")
    return token.result()[0]


async def _bind(cluster: Cluster, plan: Plan, owner: dict[str, Any]) -> None:
    """Create the Role and bind it. The API server must know the Role before a user without the right `bind` may bind it,
    and learns of new Roles from a cache of its own: until then it answers that there is none.
    """
    names = plan.names
    await cluster.create(ROLES, names.namespace, objects.role(names, owner))
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
