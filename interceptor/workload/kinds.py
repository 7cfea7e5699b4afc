"""The kinds of workloads that can be intercepted, as values; `target` finds one, everything after it asks the value.

The first four keep a pod template and are changed in place. A bare pod can't be changed: a ReplicaSet of the session
runs the agent in its stead (`swap.pod`), so there the swap and its record are on that ReplicaSet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interceptor.kube import resources
from interceptor.workload.names import lease_name, object_name

if TYPE_CHECKING:
    from interceptor.kube.resources import Resource

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind. `history` is where the cluster keeps old templates, which `kubectl rollout undo` would bring back.

    `scaled` says that its number of pods is spec.replicas, `ordered` that they are exchanged one after the other.
    """

    resource: Resource
    short: str
    history: Resource | None = None
    scaled: bool = True
    ordered: bool = False


DEPLOYMENT = Kind(resources.DEPLOYMENTS, "deploy", resources.REPLICA_SETS)
STATEFUL_SET = Kind(resources.STATEFUL_SETS, "sts", resources.CONTROLLER_REVISIONS, ordered=True)
DAEMON_SET = Kind(resources.DAEMON_SETS, "ds", resources.CONTROLLER_REVISIONS, scaled=False, ordered=True)
REPLICA_SET = Kind(resources.REPLICA_SETS, "rs", ordered=True)
POD = Kind(resources.PODS, "pod", scaled=False)
KINDS = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, REPLICA_SET, POD)

_BY_NAME = {kind.resource.kind: kind for kind in KINDS}
_BY_RESOURCE = {kind.resource: kind for kind in KINDS}


def kind_of(workload: Object) -> Kind:
    """The kind of an object that `target.resolve` returned."""
    return _BY_NAME[workload["kind"]]


def kind_for(resource: Resource) -> Kind | None:
    """The kind that a resource is, None for one that can't be intercepted."""
    return _BY_RESOURCE.get(resource)


def title_of(workload: Object) -> str:
    """As people type it: deploy/orders. Also for objects in hand that lack their kind."""
    kind = _BY_NAME.get(workload.get("kind", ""), DEPLOYMENT)
    return f"{kind.short}/{workload['metadata']['name']}"


def grace_of(pod: Object) -> float:
    """Seconds that a pod, or a pod of a template, has to end; 30 where it says nothing."""
    return float(pod["spec"].get("terminationGracePeriodSeconds", 30))


def replicas_of(workload: Object) -> int:
    """How many pods it is to have."""
    if workload.get("kind") == DAEMON_SET.resource.kind:
        return int((workload.get("status") or {}).get("desiredNumberScheduled", 1))
    wanted = workload["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


@dataclass(frozen=True)
class WorkloadRef:
    """One workload, and the session that has it or is about to: a bare pod's stand-in is named after it."""

    kind: Kind
    namespace: str
    name: str
    session: str = ""

    @property
    def title(self) -> str:
        """As people type it: deploy/orders."""
        return f"{self.kind.short}/{self.name}"

    @property
    def resource(self) -> Resource:
        """Of the object that carries the swap and its record."""
        return resources.REPLICA_SETS if self.kind is POD else self.kind.resource

    @property
    def object(self) -> str:
        """The name of the object that carries the swap and its record."""
        return object_name(self.session) if self.kind is POD else self.name


def ref_of(workload: Object, namespace: str, session: str = "") -> WorkloadRef:
    """The reference to a workload in hand."""
    return WorkloadRef(kind_of(workload), namespace, workload["metadata"]["name"], session)


def ref_from_lease(name: str, namespace: str, session: str = "") -> WorkloadRef | None:
    """The workload that a Lease of ours locks; None where its name was too long to tell."""
    for kind in KINDS:
        prefix = lease_name(kind.resource.kind, "")
        if name.startswith(prefix):
            found = WorkloadRef(kind, namespace, name.removeprefix(prefix), session)
            return found if lease_name(kind.resource.kind, found.name) == name else None
    return None
