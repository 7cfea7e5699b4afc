"""The requests of a workload that is not intercepted, from Linkerd viz's tap API; `tap` follows what this yields.

The look comes first: is the API there, does it answer, which pods does it see. `viztap_read` then asks it. Nothing is
changed in the cluster; what the API server and the tap API themselves allow is all that is shown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, Forbidden, NotFound
from interceptor.kube.resources import API_SERVICES, LINKERD_TAP, NAMESPACES
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.record import Record
from interceptor.session.events import Event, Teller
from interceptor.session.viztap_read import Asked, read_tap
from interceptor.workload import target
from interceptor.workload.kinds import WorkloadRef, ref_of
from interceptor.workload.podlist import list_pods

Object = dict[str, Any]

API_SERVICE = "v1alpha1.tap.linkerd.io"
DEFAULT_RPS = 100  # Linkerd's own
_MESHED = "linkerd.io/control-plane-ns"
_ENABLED, _DISABLED = "viz.linkerd.io/tap-enabled", "viz.linkerd.io/disable-tap"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})  # as Go's strconv.ParseBool


@dataclass(frozen=True, slots=True)
class VizOptions:
    """What is wanted of it."""

    target: str
    wanted: Filter
    secrets: bool = False
    bodies: int = 0
    rps: int = DEFAULT_RPS


@dataclass(frozen=True, slots=True)
class Pods:
    """A workload's pods by what the tap API makes of them."""

    seen: list[str]
    not_enabled: list[str]  # with a proxy that began before viz was there
    disabled: list[str]
    unmeshed: list[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to see."""

    ref: WorkloadRef
    pods: Pods


async def look(cluster: Cluster, wanted: VizOptions) -> Plan | str:
    """Who will be seen, or why nobody: "" where Linkerd's viz is not installed. Raises what can be mended."""
    try:
        if not await cluster.serves(LINKERD_TAP):
            return ""
    except Forbidden:  # who may not even ask what there is will be refused there, too
        return ""
    except ApiError as error:
        raise await _unavailable(cluster, error, wanted) from error
    workload = await target.resolve(cluster, cluster.namespace, wanted.target)
    ref = ref_of(workload, cluster.namespace)
    pods = sorted_out(await list_pods(cluster, ref, workload))
    if pods.seen:
        return Plan(ref, pods)
    if not pods.not_enabled and not pods.disabled:
        return "none of its pods has Linkerd's proxy" if pods.unmeshed else "it has no pods"
    raise await _nothing_seen(cluster, ref, pods)


def follow_viz(cluster: Cluster, plan: Plan, wanted: VizOptions, teller: Teller) -> AsyncGenerator[Record, None]:
    """Records of all its pods' requests as they end, until cancelled."""
    left = _left_out(plan.pods)
    if left:
        teller.tell(Event("note", f"not seen: {left}"))
    if wanted.bodies:
        teller.tell(
            Event("note", "Linkerd's tap tells sizes, but no bodies: replay can send requests without a body only")
        )
    ref, count = plan.ref, len(plan.pods.seen)
    asked = Asked(ref.namespace, ref.kind.resource, ref.name, wanted.wanted, wanted.secrets, wanted.rps, count)
    return read_tap(cluster, asked, teller)


def sorted_out(pods: list[Object]) -> Pods:
    """By the same marks as the tap API's."""
    found = Pods([], [], [], [])
    for pod in pods:
        metadata = pod["metadata"]
        notes = metadata.get("annotations") or {}
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            continue
        if not (metadata.get("labels") or {}).get(_MESHED):
            found.unmeshed.append(metadata["name"])
        elif notes.get(_DISABLED) in _TRUE:
            found.disabled.append(metadata["name"])
        elif notes.get(_ENABLED) in _TRUE:
            found.seen.append(metadata["name"])
        else:
            found.not_enabled.append(metadata["name"])
    return found


def _left_out(pods: Pods) -> str:
    words = (
        ("no proxy", pods.unmeshed),
        (f"began before viz, restart to see {'it' if len(pods.not_enabled) == 1 else 'them'}", pods.not_enabled),
        (f"annotation {_DISABLED}", pods.disabled),
    )
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in words if names)


async def _nothing_seen(cluster: Cluster, ref: WorkloadRef, pods: Pods) -> InterceptorError:
    """Pods of the mesh, but none that may be tapped."""
    where = f"{ref.title} -n {ref.namespace}"
    besides = f"or, to see them as it is: interceptor tap {where} --attach"
    if not pods.disabled and await _namespace_disabled(cluster, ref.namespace):
        return InterceptorError(
            f"Linkerd's tap is disabled in namespace {ref.namespace} by the annotation {_DISABLED}",
            hint=f"kubectl annotate namespace {ref.namespace} {_DISABLED}-, then restart its pods; {besides}",
        )
    if pods.disabled:
        remove = f'{{"spec":{{"template":{{"metadata":{{"annotations":{{"{_DISABLED}":null}}}}}}}}}}'
        return InterceptorError(
            f"Linkerd's tap is disabled for {ref.title} by the annotation {_DISABLED} of {', '.join(pods.disabled)}",
            hint=f"kubectl patch {where} --type merge -p '{remove}', which restarts its pods; {besides}",
        )
    return InterceptorError(
        f"Linkerd's tap can't see {', '.join(pods.not_enabled)}: without the annotation {_ENABLED},"
        " as pods are that began before viz was installed",
        hint=f"kubectl rollout restart {where}; {besides}",
    )


async def _namespace_disabled(cluster: Cluster, namespace: str) -> bool:
    try:
        found = await cluster.get(NAMESPACES, None, namespace)
    except (Forbidden, NotFound):  # then it is not said
        return False
    return (found["metadata"].get("annotations") or {}).get(_DISABLED) in _TRUE


async def _unavailable(cluster: Cluster, error: ApiError, wanted: VizOptions) -> InterceptorError:
    """The API is registered, and nobody answers behind it."""
    why = error.message.rpartition(": ")[2]
    try:
        found = await cluster.get(API_SERVICES, None, API_SERVICE)
    except ApiError:  # its state is for those who may read it; that nobody answers is known
        conditions: list[Object] = []
    else:
        conditions = (found.get("status") or {}).get("conditions") or []
    for condition in conditions:
        if condition.get("type") == "Available" and condition.get("status") != "True":
            why = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return InterceptorError(
        f"Linkerd's tap API is installed but does not answer: {why}",
        hint=f"kubectl get apiservice {API_SERVICE}; without it: interceptor tap {wanted.target}"
        f" -n {cluster.namespace} --attach",
    )
