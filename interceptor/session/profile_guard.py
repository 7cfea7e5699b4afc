"""The pod that takes a route's change back when this program is gone; `profile_set` starts it before it changes anything."""

from __future__ import annotations

import asyncio

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.kube.resources import PODS, SECRETS, SERVICE_ACCOUNTS
from interceptor.session import setup
from interceptor.session.keeper import TOKEN_SECONDS
from interceptor.session.profile_plan import ProfilePlan
from interceptor.workload import objects, zipapp
from interceptor.workload.objects import SessionNames
from interceptor.workload.policy import GUARD_PORT, guard_pod, guard_role
from interceptor.workload.trouble import watch_pod_for_trouble

GUARD_WITHIN = 120.0  # seconds for its image to come and its first look
LOOK_EVERY = 0.3


async def start_guard(cluster: Cluster, plan: ProfilePlan, owner: objects.Object) -> None:
    """Return once it watches us. Raises InterceptorError where it can't run."""
    names = plan.names
    await cluster.create(SERVICE_ACCOUNTS, names.namespace, objects.service_account(names, owner))
    await setup.bind(cluster, names, owner, guard_role(names, owner, made=plan.edit.before is None))
    token = (await cluster.token(names.namespace, names.object, TOKEN_SECONDS))[0].encode()
    config = objects.config(
        names, holder=plan.record.holder, tunnel_port=0, health_port=GUARD_PORT, ports=(), policy=True
    )
    agent = await asyncio.get_running_loop().run_in_executor(None, zipapp.build)
    files = {"agent.pyz": agent, "config.json": config, "token": token}
    await cluster.create(SECRETS, names.namespace, objects.secret(names, owner, files))
    await cluster.create(PODS, names.namespace, guard_pod(names, owner, plan.image))
    try:
        async with asyncio.timeout(GUARD_WITHIN), asyncio.TaskGroup() as group:
            trouble = group.create_task(watch_pod_for_trouble(cluster, names.namespace, names.object), name="trouble")
            await _until_ready(cluster, names)
            trouble.cancel()
    except TimeoutError:
        raise _unguarded(f"its pod was not ready within {GUARD_WITHIN:.0f} s") from None
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        if not isinstance(first, InterceptorError):
            raise
        raise _unguarded(first.message) from first


async def _until_ready(cluster: Cluster, names: SessionNames) -> None:
    while True:
        pod = await cluster.get(PODS, names.namespace, names.object)
        conditions = (pod.get("status") or {}).get("conditions") or []
        if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            return
        await asyncio.sleep(LOOK_EVERY)


def _unguarded(why: str) -> InterceptorError:
    hint = (
        "--guard-image names another image with Python; --no-guard does without: then only this program takes it back"
    )
    return InterceptorError(f"the guard can't run, and nothing was changed: {why}", hint=hint)
