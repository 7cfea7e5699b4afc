"""What remains without the right to create Roles: `acting` watches whether agents became the app again.

Agents that may not restore the template can still become the app again, where they run in its own image (see
`agent/in_place.py`). Should we only have been away, we find our agents gone and the app in their place: then the session
is over, and ending it in order puts the template back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, PortForwardFailed, Unreachable
from interceptor.session.ask_pod import ask_pod
from interceptor.session.hops import APP_RUNS
from interceptor.session.pods import Pods
from interceptor.session.tunnels import Tunnels

if TYPE_CHECKING:
    from interceptor.session.plan import Plan

LOOK_EVERY = 2.0
ASK_WITHIN = 5.0


async def watch_agents(
    cluster: Cluster, plan: Plan, pods: Pods, tunnels: Tunnels, on_end: Callable[[InterceptorError], None]
) -> None:
    """Follow pods whose tunnel is lost until one says that it runs the app again; ends then, or when cancelled."""
    before: set[str] = set()
    while True:
        live = {agent.pod for agent in tunnels.live}
        lost = {pod.name for pod in pods.agents(plan.names.session) if pod.running} - live
        for name in sorted(lost & before):  # for a while, not just now
            if await _gave_up(cluster, plan, name):
                text = f"pod {name} runs its app again: its agent had lost this program"
                on_end(InterceptorError(text, hint="to intercept again, run the same command"))
                return
        before = lost
        await asyncio.sleep(LOOK_EVERY)


async def _gave_up(cluster: Cluster, plan: Plan, pod: str) -> bool:
    names, port = plan.names, plan.swap.health_port
    try:
        status, body = await ask_pod(cluster, names.namespace, pod, port, "/status", within=ASK_WITHIN)
        return status == 200 and json.loads(body).get("guard") == APP_RUNS
    except (PortForwardFailed, ApiError, Unreachable, ValueError):
        return False  # not to be reached now; asked again
