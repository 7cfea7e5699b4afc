"""What others do to the workload while it is held: `intercept` runs it, tells of it, and ends the session where it must.

Nothing is fought: who deletes the workload or takes the swap back (a re-applied manifest, Argo CD, an agent that thought
us gone) wins, and the session ends in order. Scaling is followed: agents come and go with the pods.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.kube.resources import DEPLOYMENTS
from interceptor.session.events import Event, Teller
from interceptor.session.plan import Plan
from interceptor.swap import record_of, restore


async def watch_workload(
    cluster: Cluster, plan: Plan, teller: Teller, on_end: Callable[[InterceptorError], None]
) -> None:
    """Follow the Deployment from the swap on, until cancelled or until it is no longer ours."""
    names = plan.names
    replicas = plan.replicas
    events = cluster.watch(DEPLOYMENTS, names.namespace, field_selector=f"metadata.name={names.workload}")
    seen = False
    async with aclosing(events):
        async for event in events:
            if (event.type == "SYNCED" and not seen) or event.type == "DELETED":
                on_end(InterceptorError(f"{plan.title} was deleted by somebody"))
                return
            if event.type == "SYNCED":
                continue
            seen = True
            reason = _taken(event.object, names.session)
            if reason:
                on_end(InterceptorError(f"{plan.title}: {reason}", hint="to intercept again, run the same command"))
                return
            wanted = int(event.object["spec"].get("replicas", 1))
            if wanted != replicas:
                replicas = wanted
                teller.tell(_scaled(plan.title, wanted))


def _taken(workload: dict[str, Any], session: str) -> str:
    """Why it is not ours any more, or empty."""
    record = record_of(workload)
    if record is None:
        return "somebody took the swap back (an agent that lost us, or a re-applied manifest)"
    if record.session != session:
        return f"{record.holder} intercepts it now"
    theirs = restore(workload, session).kept
    return f"somebody changed {', '.join(theirs)} meanwhile; that stays" if theirs else ""


def _scaled(title: str, replicas: int) -> Event:
    details: dict[str, object] = {"replicas": replicas}
    if replicas == 0:
        return Event("waiting", f"{title} is scaled to 0: no pod to serve for", details=details)
    return Event("note", f"{title} is scaled to {replicas}", details=details)
