"""What a session needs to be observed: who it says it is, and the names of its routes; `intercept` starts both."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from interceptor.kube import Cluster, Unreachable
from interceptor.mesh.named_read import read_names
from interceptor.mesh.traffic.hub import Hub
from interceptor.mesh.traffic.sockets import BESIDE
from interceptor.session.control import Control
from interceptor.session.events import Teller
from interceptor.session.plan import Plan
from interceptor.session.tunnels import Tunnels


def is_wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether requests are to be seen at all: INTERCEPTOR_OBSERVE=0 saves what it costs."""
    return environ.get("INTERCEPTOR_OBSERVE", "1") != "0"


def about_session(cluster: Cluster, plan: Plan, *, beside: bool = False) -> dict[str, str]:
    """Who a session says it is; `beside`, if it intercepts nothing."""
    ref = plan.names.ref
    return {
        **({BESIDE: "yes"} if beside else {}),
        "session": plan.names.session,
        "server": cluster.server,
        "namespace": ref.namespace,
        "kind": ref.kind.resource.kind,
        "name": ref.name,
    }


def open_control(
    cluster: Cluster,
    plan: Plan,
    hub: Hub,
    teller: Teller,
    before: Mapping[str, object] | None = None,
    state: Callable[[], Mapping[str, object]] = dict,
) -> Control:
    """The socket over which other commands ask this session."""
    return Control(hub, about_session(cluster, plan), teller, before, state)


def state_of(tunnels: Tunnels, plan: Plan, to_host: str) -> dict[str, object]:
    """How it stands with the tunnels, and where requests go to: for the control socket."""
    live = tunnels.live
    return {
        "to": to_host,
        "ports": {str(port.pod): port.local for port in plan.ports if port.protocol == "TCP"},
        "reconnects": tunnels.reconnects,
        "pods": [
            {
                "pod": agent.pod,
                "up": agent in live,
                "streams": agent.tunnel.streams if agent.tunnel is not None else 0,
                "ping_ms": round(agent.tunnel.round_trip * 1000, 3) if agent.tunnel is not None else None,
                "probe_ms": agent.round_trip or None,
            }
            for agent in tunnels.by_pod.values()
        ],
    }


async def name_routes(cluster: Cluster, plan: Plan, hub: Hub) -> None:
    """Let requests be counted under the names that somebody gave to their routes; without, by path."""
    try:
        hub.traffic.names = await read_names(cluster, plan.names.namespace, plan.workload)
    except Unreachable:  # whoever renews the Lease says so
        return
