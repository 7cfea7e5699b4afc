"""One session as far as the cluster shows it, put together from what was listed; `holdings` reads, this judges. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.kube.resources import Resource
from interceptor.swap import SESSION_ANNOTATION, Record, record_of
from interceptor.swap.policy import POLICY_ANNOTATION, policy_record_of
from interceptor.workload import life
from interceptor.workload.beside import MANAGED_BY, RUN
from interceptor.workload.kinds import KINDS, POD, Kind, WorkloadRef, kind_for, ref_from_lease
from interceptor.workload.life import WatchedLease
from interceptor.workload.names import object_name
from interceptor.workload.policy import POLICY_KINDS, is_policy, policy_from_lease
from interceptor.workload.stand_in import belongs_to_stand_in

Object = dict[str, Any]

CARRIERS = tuple(kind.resource for kind in KINDS if kind is not POD)  # a bare pod's swap is on a ReplicaSet
POLICIES = tuple(kind.resource for kind in POLICY_KINDS)  # what `profile set` changes: its record is there


@dataclass(slots=True)
class Holding:
    """One session as far as the cluster shows it. `alive` is None where its Lease may not be read.

    `state`: "held", "starting" (or ending: no swap, but its client lives), "silent" (swapped, its client does not show
    itself) or "leftover" (`leftover` says what is missing).
    """

    namespace: str
    session: str
    ref: WorkloadRef | None = None  # None where nothing tells
    holder: str = ""
    since: str = ""
    alive: bool | None = None
    swapped: bool = False
    job: Object | None = None  # only its metadata is sure to be there
    lease: Object | None = None
    pods: list[str] = field(default_factory=list)
    leftover: str = ""
    damaged: bool = False  # its record can't be read
    taker: Object | None = None  # the Lease of another session that holds the workload by now, and lives

    @property
    def workload(self) -> str:
        """As people type it; the session's name where the workload's is not known."""
        return self.ref.title if self.ref is not None else f"session {self.session}"

    @property
    def state(self) -> str:
        """See above."""
        if self.leftover:
            return "leftover"
        if not self.swapped:
            return "starting"
        return "silent" if self.alive is False else "held"


def assemble(listed: dict[Resource, list[Object]], watched: list[WatchedLease] | None) -> list[Holding]:
    """Put together what belongs together; without `watched` nobody's life is known."""
    found: dict[tuple[str, str], Holding] = {}

    def of(item: Object, session: str) -> Holding:
        key = item["metadata"]["namespace"], session
        return found.setdefault(key, Holding(*key))

    for resource in CARRIERS:
        for item in listed.get(resource, ()):
            if not _controlled(item):  # a Deployment's annotations are copied to its ReplicaSets
                _add_swap(of, resource, item)
    for kind in POLICY_KINDS:
        for item in listed.get(kind.resource, ()):
            if POLICY_ANNOTATION in (item["metadata"].get("annotations") or {}):
                _add_policy(of, kind, item)
    for item in listed.get(resources.JOBS, ()):
        of(item, _label(item)).job = item
    for one in watched or ():
        # Lease without a holder: its label still says whose it was.
        holding = of(one.lease, life.session_of(one.lease) or _label(one.lease))
        holding.lease, holding.alive = one.lease, one.alive
    for item in listed.get(resources.PODS, ()):
        session = runs_agent_of(item)
        if session:
            of(item, session).pods.append(item["metadata"]["name"])
    for holding in found.values():
        _complete(holding, watched is not None)
    for holding in found.values():
        holding.leftover = holding.leftover or _missing(holding, found.values())
    return sorted(found.values(), key=lambda one: (one.namespace, one.workload, one.session))


def _add_swap(of: Any, resource: Resource, item: Object) -> None:
    try:
        record: Record | None = record_of(item)
    except InterceptorError as error:
        holding = of(item, f"damaged record of {item['metadata']['name']}")
        holding.leftover, holding.damaged = error.message, True
    else:
        if record is None:
            return
        holding = of(item, record.session)
        holding.holder, holding.since, holding.swapped = record.holder, record.since, True
    pod, kind = _stands_in_for(item), kind_for(resource)
    if pod:
        holding.ref = WorkloadRef(POD, holding.namespace, pod, holding.session)
    elif kind is not None:
        holding.ref = WorkloadRef(kind, holding.namespace, item["metadata"]["name"], holding.session)


def _add_policy(of: Any, kind: Kind, item: Object) -> None:
    """A ServiceProfile or route that somebody changed for a time."""
    name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
    try:
        record = policy_record_of(item)
    except InterceptorError as error:
        holding = of(item, f"damaged record of {name}")
        holding.leftover, holding.damaged = error.message, True
    else:
        assert record is not None
        holding = of(item, record.session)
        holding.holder, holding.since, holding.swapped = record.holder, record.since, True
    holding.ref = WorkloadRef(kind, namespace, name, holding.session)


def _stands_in_for(item: Object) -> str | None:
    """The bare pod that a session's ReplicaSet stands in for; one that can't be read any more is known by its Lease."""
    try:
        return belongs_to_stand_in(item)
    except InterceptorError:
        return None


def _complete(holding: Holding, leases_known: bool) -> None:
    """Fill in what other places tell, or tell better."""
    if holding.lease is not None:
        name = holding.lease["metadata"]["name"]
        holding.ref = (
            holding.ref
            or ref_from_lease(name, holding.namespace, holding.session)
            or policy_from_lease(name, holding.namespace, holding.session)
        )
        holding.holder = holding.holder or life.holder_of(holding.lease)
        holding.since = holding.since or life.since_of(holding.lease)
    elif leases_known:
        holding.alive = False
    if holding.job is not None:  # the cluster's own clock, where there is one
        holding.since = life.moment(holding.job["metadata"]["creationTimestamp"])


def _missing(holding: Holding, everybody: Iterable[Holding]) -> str:
    """What ought to be there beside what is, as a leftover's name; empty where all is well."""
    if holding.alive:
        return "" if holding.job is not None or not holding.swapped else "its session object is gone"
    if holding.swapped:
        where = holding.namespace, holding.workload
        taker = next((one for one in everybody if one.alive and (one.namespace, one.workload) == where), None)
        if taker is not None:
            return f"{taker.holder} is taking it over"
        what = "change" if is_policy(holding.ref) else "swap"
        return "" if holding.job is not None else f"a {what} without a session object"
    if holding.job is not None:
        return "a session object without a swap" if holding.alive is False else ""
    if holding.lease is not None:
        return "a Lease without a session" if life.session_of(holding.lease) else "a Lease without a holder"
    return "agent pods without a swap"


def _controlled(item: Object) -> bool:
    return any(owner.get("controller") for owner in item["metadata"].get("ownerReferences") or [])


def runs_agent_of(pod: Object) -> str:
    """The session whose agent runs in a pod that stays; "" for none. What `run` starts holds nothing."""
    if "deletionTimestamp" in pod["metadata"] or (pod["metadata"].get("labels") or {}).get(MANAGED_BY) == RUN:
        return ""
    return str((pod["metadata"].get("annotations") or {}).get(SESSION_ANNOTATION) or "")


def _label(item: Object) -> str:
    """The session whose object this is; sessions older than the label are known by their object's name."""
    label = (item["metadata"].get("labels") or {}).get(SESSION_ANNOTATION)
    return str(label) if label else item["metadata"]["name"].removeprefix(object_name(""))
