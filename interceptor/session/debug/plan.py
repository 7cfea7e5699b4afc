"""The look before a debug container: from options to pods, or to the error that says why not; `run` calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, NotFound
from interceptor.kube.resources import PODS
from interceptor.session.debug.options import DebugOptions
from interceptor.swap import record_of
from interceptor.swap.exchange import by_hand
from interceptor.workload import allowed, rights, target
from interceptor.workload.debugger import names_of, status_of
from interceptor.workload.kinds import POD, REPLICA_SET, WorkloadRef, kind_of, ref_of
from interceptor.workload.missing import no_such
from interceptor.workload.podlist import list_pods

Object = dict[str, Any]

MOST_PODS = 10  # that one command puts a container into, which then stays in their specs
LINKERD_PROXY = "linkerd-proxy"


@dataclass(frozen=True)
class DebugPlan:
    """Which pods, of which workload. `workload` is None for a pod that was named itself."""

    namespace: str
    title: str
    pods: tuple[Object, ...]
    workload: Object | None = None
    ref: WorkloadRef | None = None
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Of the pods."""
        return [pod["metadata"]["name"] for pod in self.pods]


async def look(cluster: Cluster, options: DebugOptions) -> DebugPlan:
    """Find the pods and see that the way into them is open; raises the first thing that stands in it."""
    namespace = cluster.namespace
    wanted = target.parse(options.target)
    if wanted.resource is PODS and options.way != "inject":
        found = await _one_pod(cluster, namespace, wanted.name)
        title, workload, ref, pods = f"pod/{wanted.name}", None, None, [found]
    else:
        workload = await target.resolve(cluster, namespace, options.target)
        record = record_of(workload)
        ref = ref_of(workload, namespace, record.session if record is not None else "")
        title, pods = ref.title, await list_pods(cluster, ref, workload)
    await _may(cluster, namespace, title, ref, options)
    if options.way == "inject":
        assert workload is not None
        _injectable(title, workload, pods)
    chosen, notes = choose(title, pods, options)
    if options.share is not None:
        for pod in chosen:
            _sharable(pod, options.share)
    return DebugPlan(namespace, title, tuple(chosen), workload, ref, tuple(notes))


def choose(title: str, pods: list[Object], options: DebugOptions) -> tuple[list[Object], list[str]]:
    """The pods that are looked at, and what to say about the choice."""
    there = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    if options.pod is not None:
        pod = next((one for one in there if one["metadata"]["name"] == options.pod), None)
        if pod is None:
            names = ", ".join(sorted(one["metadata"]["name"] for one in there)) or "none"
            raise InterceptorError(f"{title} has no pod {options.pod!r}", hint=f"its pods: {names}")
        there = [pod]
    # A copy starts anew, so its model may have ended.
    open_ = [pod for pod in there if options.way == "copy" or _can_take(pod)]
    if not open_:
        raise _closed(title, there)
    open_.sort(key=lambda pod: (not _is_ready(pod), pod["metadata"].get("creationTimestamp") or ""))
    if not options.every_pod:
        others = len(open_) - 1
        notes = [f"{_name(open_[0])} is one of {len(open_)} pods of {title}; another: --pod NAME"] if others else []
        return open_[:1], notes
    if len(open_) > MOST_PODS:
        names = f"{_name(open_[0])}, {_name(open_[1])}, ..."
        raise InterceptorError(
            f"{title} has {len(open_)} pods, and a debug container would stay in the spec of each",
            hint=f"choose one with --pod: {names}",
        )
    left = [_name(pod) for pod in there if pod not in open_]
    return open_, [f"not looked at, because they do not run: {', '.join(left)}"] if left else []


def _can_take(pod: Object) -> bool:
    """Whether a container can still be started in it: it has a node and has not ended."""
    phase = (pod.get("status") or {}).get("phase")
    return bool(pod["spec"].get("nodeName")) and phase not in ("Succeeded", "Failed")


def _closed(title: str, pods: list[Object]) -> InterceptorError:
    if not pods:
        return InterceptorError(f"{title} has no pods", hint=f"see kubectl describe {title}")
    pod = pods[0]
    phase = (pod.get("status") or {}).get("phase") or "Pending"
    if phase in ("Succeeded", "Failed"):
        return InterceptorError(
            f"pod {_name(pod)} has ended ({phase}), so nothing more can be started in it",
            hint="start a copy of it to look into: add --copy",
        )
    return InterceptorError(f"pod {_name(pod)} is on no node yet", hint=f"see kubectl describe pod {_name(pod)}")


def _sharable(pod: Object, container: str) -> None:
    """See that another container may see the processes of this one."""
    names = names_of(pod)
    if container not in names:
        raise InterceptorError(
            f"pod {_name(pod)} has no container {container!r} to share with", hint=f"it has: {', '.join(names)}"
        )
    state = status_of(pod, container).get("state") or {}
    if "running" in state:
        return
    ended = state.get("terminated")
    if ended:
        how = f"has ended with status {ended.get('exitCode', '?')}"
    else:
        how = f"does not run: {(state.get('waiting') or {}).get('reason') or 'it has not started'}"
    raise InterceptorError(
        f"container {container} of pod {_name(pod)} {how}, so it has no processes to share",
        hint="leave out --share, or look at a copy with --copy",
    )


def _injectable(title: str, workload: Object, pods: list[Object]) -> None:
    """Refuse what Linkerd's way can't do, before anything changes."""
    if kind_of(workload) in (POD, REPLICA_SET) or by_hand(workload):
        raise InterceptorError(
            f"{title}: --inject changes the template, and no controller of it exchanges the pods then",
            hint="leave out --inject: an ephemeral container needs no new pods",
        )
    if not any(LINKERD_PROXY in _all_names(pod) for pod in pods):
        raise InterceptorError(
            f"no pod of {title} has Linkerd's proxy, so nothing would inject the debug sidecar",
            hint="leave out --inject: an ephemeral container needs no mesh",
        )


def _all_names(pod: Object) -> set[str]:
    spec = pod["spec"]
    return {item["name"] for item in [*spec["containers"], *(spec.get("initContainers") or [])]}


async def _one_pod(cluster: Cluster, namespace: str, name: str) -> Object:
    try:
        return await cluster.get(PODS, namespace, name)
    except NotFound:
        raise await no_such(cluster, "pod", namespace, name, (PODS,)) from None


async def _may(cluster: Cluster, namespace: str, title: str, ref: WorkloadRef | None, options: DebugOptions) -> None:
    kind = ref.kind if ref is not None else POD
    wanted = rights.needed_to_debug(kind, ref.name if ref is not None else "", way=options.way)
    lacking = [right for right in await allowed.missing(cluster, namespace, wanted) if right.required]
    if lacking:
        raise allowed.MissingRights(namespace, lacking, rbac=f"--debug --for {title}")


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
