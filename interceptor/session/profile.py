"""`profile show` and `profile undo`: what holds for a Service's routes, and what `profile set` left, taken back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Conflict, Forbidden, NotFound
from interceptor.kube.resources import JOBS, LEASES, Resource
from interceptor.mesh.named_read import PROFILES
from interceptor.mesh.profile.lint import lint
from interceptor.mesh.profile.read import InForce, read
from interceptor.mesh.profile.rows import Row, rows
from interceptor.session.access import open_cluster
from interceptor.session.events import Event, Teller
from interceptor.session.options import Access
from interceptor.session.plan import holder
from interceptor.swap.policy import PolicyRecord, policy_record_of
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.life import signs_of_life
from interceptor.workload.names import lease_name, object_name
from interceptor.workload.policy import policy_kind, undo_policy

Object = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """What `profile show` prints."""

    found: InForce
    rows: list[Row]
    changed: list[tuple[Row, PolicyRecord]]
    notes: list[str]


async def show(access: Access, service: str, *, domain: str = "") -> Shown:
    """Read all of it."""
    async with open_cluster(access) as cluster:
        found = await read(cluster, cluster.namespace, service, domain=domain)
    listed = rows(found)
    changed = {row.object: (row, record) for row in listed if (record := policy_record_of(row.item)) is not None}
    return Shown(found, listed, list(changed.values()), _notes(found))


def _notes(found: InForce) -> list[str]:
    notes = [f"not seen: {why}" for why in found.hidden.values()]
    notes += lint(found)
    if found.profile is not None and found.routes:
        notes.append("a ServiceProfile is in force, so the proxies ignore the Service's HTTPRoutes and annotations")
    if found.elsewhere:
        notes.append(f"callers in {', '.join(found.elsewhere)} have a ServiceProfile of their own for this Service")
    if found.profile is None and not found.routes:
        if PROFILES in found.absent and not found.hidden:
            notes.append("this cluster has no ServiceProfiles: is a mesh installed?")
        notes.append(f"make some: interceptor profile new {found.title} --from-routes, or --open-api FILE")
    return notes


async def undo(access: Access, service: str, teller: Teller, *, force: bool = False) -> int:
    """Take back what `profile set` changed for a Service; 0 also when there is nothing. Raises InterceptorError."""
    began = time.monotonic()
    async with open_cluster(access) as cluster:
        with teller.busy(f"looking at {service}"):
            found = await read(cluster, cluster.namespace, service)
        items: list[tuple[Resource, Object]] = [*found.routes]
        if found.profile is not None:
            items.insert(0, (PROFILES, found.profile))
        changed = [
            (resource, item, record) for resource, item in items if (record := policy_record_of(item)) is not None
        ]
        if not changed:
            teller.tell(Event("note", f"the routes of {found.title} are nobody's to take back"))
            return 0
        for resource, item, record in changed:
            ref = WorkloadRef(policy_kind(resource), cluster.namespace, item["metadata"]["name"], record.session)
            await _undo_one(cluster, ref, record, teller, began, force=force)
    return 0


async def _undo_one(
    cluster: Cluster, ref: WorkloadRef, record: PolicyRecord, teller: Teller, began: float, *, force: bool
) -> None:
    name = lease_name(ref.kind.resource.kind, ref.name)
    if record.holder != holder() and not force:
        with teller.busy(f"listening for {record.holder}"):
            watched = await signs_of_life(cluster, ref.namespace, name=name)
        if any(one.alive for one in watched):
            raise InterceptorError(
                f"{ref.title} is changed by {record.holder} since {record.since}, and their client lives",
                hint="ask them to stop; --force takes it back all the same",
            )
    undone = await undo_policy(cluster, ref, record.session)
    await end_policy_session(cluster, ref.namespace, record.session, name)
    text = f"{ref.title} is as it was before {record.holder} changed it"
    if undone.kept:
        text += f", but for what others changed: {', '.join(undone.kept)}"
    details: dict[str, object] = {
        "namespace": ref.namespace, "object": ref.title, "session": record.session, "kept": undone.kept,
    }  # fmt: skip
    teller.tell(Event("restored", text, time.monotonic() - began, details))


async def end_policy_session(cluster: Cluster, namespace: str, session: str, lease: str) -> None:
    """Remove what a session owns; its client, if it lives, finds the change taken back and ends."""
    for resource, name in ((JOBS, object_name(session)), (LEASES, lease)):
        try:
            await cluster.delete(resource, namespace, name)
        except (NotFound, Conflict, Forbidden):
            continue  # gone with the other, or for the cluster to remove when its deadline comes
