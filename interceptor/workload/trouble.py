"""Why the agent's pods will not start, in the cluster's own words; `session` runs `watch_for_trouble` until they have.

Looks once a second, because events of three kinds of objects would have to be followed otherwise, and for a short
time only. A reason must last a while before it counts: the kubelet tries again, and much heals by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from interceptor.kube import resources
from interceptor.kube.errors import Forbidden, NotFound, TooManyRequests, Unreachable
from interceptor.workload.kinds import DAEMON_SET, STATEFUL_SET, WorkloadRef, replicas_of
from interceptor.workload.podlist import list_pods
from interceptor.workload.preflight import rollout_condition
from interceptor.workload.rollout import RolloutFailed, session_of

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

_LOOK_EVERY = 1.0
_IMAGE_HINT = "name an image the cluster can pull: --agent-image IMAGE"


@dataclass(frozen=True)
class Trouble:
    """Something wrong with one object. The same `subject` and `kind` seen for `patience` seconds is a failure."""

    subject: str
    kind: str
    text: str
    patience: float
    hint: str = ""
    uid: str = ""  # of the pod whose events say more


_CREATING, _STILL_CREATING = "creating", "still creating"
# The kubelet's own haste: it tries again, and on a busy node succeeds some tries later. What is really missing it tells
# in other words.
_HASTE = ("timed out waiting for the condition", "failed to sync", "not registered", "context deadline exceeded")
_EMPTY_WORDS = frozenset({"BackOff", "Unhealthy"})  # "Back-off restarting failed container" says nothing new

# What a container that waits says, and how long to hope.
_WAITING = {
    "ErrImagePull": ("image", 4.0, _IMAGE_HINT),
    "ImagePullBackOff": ("image", 4.0, _IMAGE_HINT),
    "RegistryUnavailable": ("image", 4.0, _IMAGE_HINT),
    "ErrImageNeverPull": ("image", 0.0, _IMAGE_HINT),
    "InvalidImageName": ("image", 0.0, _IMAGE_HINT),
    "ImageInspectError": ("image", 4.0, _IMAGE_HINT),
    "CreateContainerConfigError": ("config", 4.0, ""),
    "CreateContainerError": ("create", 4.0, ""),
    "RunContainerError": ("run", 4.0, ""),
    "CrashLoopBackOff": ("crash", 0.0, ""),
}


async def watch_for_trouble(cluster: Cluster, ref: WorkloadRef, session: str) -> NoReturn:
    """Raise RolloutFailed once the session's pods evidently can't start. Ends no other way than by being cancelled."""
    await _watch(cluster, ref.namespace, lambda: _look(cluster, ref, session))


async def watch_pod_for_trouble(cluster: Cluster, namespace: str, name: str) -> NoReturn:
    """The same for one pod that belongs to nobody."""

    async def look() -> AsyncIterator[Trouble]:
        try:
            pod = await cluster.get(resources.PODS, namespace, name)
        except NotFound:
            yield Trouble(f"pod/{name}", "gone", "it was deleted", 0.0)
            return
        for item in pod_trouble(pod):
            yield item

    await _watch(cluster, namespace, look)


async def _watch(cluster: Cluster, namespace: str, look: Callable[[], AsyncIterator[Trouble]]) -> NoReturn:
    loop = asyncio.get_running_loop()
    since: dict[tuple[str, str], float] = {}
    while True:
        try:
            found = [item async for item in look()]
        except (Unreachable, TooManyRequests):
            found = []  # says nothing about the pods; the session notices by itself
        now = loop.time()
        since = {(item.subject, item.kind): since.get((item.subject, item.kind), now) for item in found}
        for item in found:
            if now - since[item.subject, item.kind] >= item.patience:
                text = await _own_words(cluster, namespace, item)
                if text:
                    hint = item.hint or f"see kubectl describe {item.subject} -n {namespace}"
                    raise RolloutFailed(f"{item.subject}: {text}", hint=hint)
        await asyncio.sleep(_LOOK_EVERY)


async def _own_words(cluster: Cluster, namespace: str, trouble: Trouble) -> str:
    return own_words(trouble, await _warnings(cluster, namespace, trouble.uid)) if trouble.uid else trouble.text


def own_words(trouble: Trouble, events: list[Object]) -> str:
    """The newest warning about the pod, else what its status says; empty where that is no trouble by itself."""
    if trouble.kind == _CREATING:
        events = [event for event in events if not any(words in str(event.get("message")) for words in _HASTE)]
    telling = [event for event in events if event.get("reason") not in _EMPTY_WORDS and _says_more(event)]
    if telling:
        return str(max(telling, key=_when)["message"])
    return trouble.text


def _says_more(event: Object) -> bool:
    """Whether a message says why: the kubelet repeats the mere state, "Error: ImagePullBackOff", ever after."""
    message = str(event.get("message") or "")
    return bool(message) and not message.removeprefix("Error: ").isalnum()


def _when(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


async def _warnings(cluster: Cluster, namespace: str, uid: str) -> list[Object]:
    try:
        query = f"involvedObject.uid={uid},type=Warning"
        return list((await cluster.list(resources.EVENTS, namespace, field_selector=query)).items)
    except Forbidden:
        return []


async def _look(cluster: Cluster, ref: WorkloadRef, session: str) -> AsyncIterator[Trouble]:
    try:
        carrier = await cluster.get(ref.resource, ref.namespace, ref.object)
    except NotFound:
        yield Trouble(ref.title, "gone", "it was deleted", 0.0)
        return
    for item in creation_trouble(ref, carrier):
        yield item
    if ref.kind in (STATEFUL_SET, DAEMON_SET) and _lacks_pods(carrier):
        # These controllers say only in events that they may not create a pod; younger than the last change of spec.
        for event in await _warnings(cluster, ref.namespace, carrier["metadata"]["uid"]):
            if event.get("reason") == "FailedCreate" and _when(event) >= _changed(carrier):
                yield Trouble(ref.title, "create", str(event.get("message") or "pods can't be created"), 6.0)
                break
    for pod in await list_pods(cluster, ref, carrier):
        if session_of(pod) == session and "deletionTimestamp" not in pod["metadata"]:
            for item in pod_trouble(pod):
                yield item


def creation_trouble(ref: WorkloadRef, carrier: Object) -> Iterator[Trouble]:
    """A ReplicaSet that may not create pods: quota, limits, Pod Security, a webhook. A Deployment repeats its words."""
    failure = rollout_condition(carrier, "ReplicaFailure")
    if failure.get("status") == "True":
        yield Trouble(
            ref.title, "create", failure.get("message") or failure.get("reason", "pods can't be created"), 6.0
        )


def _lacks_pods(carrier: Object) -> bool:
    status = carrier.get("status") or {}
    have = status.get("replicas" if "replicas" in carrier["spec"] else "currentNumberScheduled", 0)
    return int(have) < replicas_of(carrier)


def _changed(carrier: Object) -> str:
    """When somebody last wrote to it, by the API server's clock."""
    entries = carrier["metadata"].get("managedFields") or []
    times = [str(entry["time"]) for entry in entries if entry.get("time") and not entry.get("subresource")]
    return max(times, default=str(carrier["metadata"]["creationTimestamp"]))


def pod_trouble(pod: Object) -> Iterator[Trouble]:
    """What one pod's status says."""
    subject, uid = f"pod/{pod['metadata']['name']}", pod["metadata"]["uid"]
    status = pod.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield Trouble(subject, "schedule", condition.get("message", "no node takes it"), 8.0, uid=uid)
    if status.get("phase") == "Failed":
        yield Trouble(subject, "failed", status.get("message") or status.get("reason", "it failed"), 4.0, uid=uid)
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in _WAITING:
            kind, patience, hint = _WAITING[reason]
            text = f"{reason}: {waiting['message']}" if waiting.get("message") else reason
            if kind == "crash":
                text, hint = _crash(container), f"see kubectl logs {subject} -c {container['name']} --previous"
            yield Trouble(subject, kind, text, patience, hint, "" if kind == "crash" else uid)
        elif reason == "ContainerCreating":
            yield Trouble(subject, _CREATING, "", 15.0, uid=uid)  # it may be pulling: only an event tells
            yield Trouble(subject, _STILL_CREATING, "", 60.0, uid=uid)


def _crash(container: Object) -> str:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    text = f"container {container['name']} ended again and again, last with status {ended.get('exitCode', '?')}"
    return f"{text}: {ended['message'].strip()}" if ended.get("message") else text
