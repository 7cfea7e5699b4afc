"""Why the agent's pods will not start, in the cluster's own words; `session` runs `watch_for_trouble` until they have.

Looks once a second, because events of three kinds of objects would have to be followed otherwise, and for a short
time only. A reason must last a while before it counts: the kubelet tries again, and much heals by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from interceptor.kube import resources
from interceptor.kube.errors import Forbidden, NotFound, TooManyRequests, Unreachable
from interceptor.workload.preflight import rollout_condition
from interceptor.workload.rollout import RolloutFailed, session_of
from interceptor.workload.selectors import pods_query

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


async def watch_for_trouble(cluster: Cluster, namespace: str, name: str, session: str) -> NoReturn:
    """Raise RolloutFailed once the session's pods evidently can't start. Ends no other way than by being cancelled."""
    loop = asyncio.get_running_loop()
    since: dict[tuple[str, str], float] = {}
    while True:
        try:
            found = [item async for item in _look(cluster, namespace, name, session)]
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
    """The newest warning about the pod, else what its status says; empty where that is no trouble by itself."""
    if not trouble.uid:
        return trouble.text
    query = f"involvedObject.uid={trouble.uid},type=Warning"
    try:
        events = (await cluster.list(resources.EVENTS, namespace, field_selector=query)).items
    except Forbidden:
        events = []
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


async def _look(cluster: Cluster, namespace: str, name: str, session: str) -> AsyncIterator[Trouble]:
    try:
        deployment = await cluster.get(resources.DEPLOYMENTS, namespace, name)
    except NotFound:
        yield Trouble(f"deploy/{name}", "gone", "it was deleted", 0.0)
        return
    for item in deployment_trouble(deployment):
        yield item
    pods = await cluster.list(resources.PODS, namespace, label_selector=pods_query(deployment))
    for pod in pods.items:
        if session_of(pod) == session and "deletionTimestamp" not in pod["metadata"]:
            for item in pod_trouble(pod):
                yield item


def deployment_trouble(deployment: Object) -> Iterator[Trouble]:
    """A ReplicaSet that may not create pods: quota, limits, Pod Security, a webhook. The Deployment repeats its words."""
    failure = rollout_condition(deployment, "ReplicaFailure")
    if failure.get("status") == "True":
        text = failure.get("message") or failure.get("reason", "pods can't be created")
        yield Trouble(f"deploy/{deployment['metadata']['name']}", "create", text, 6.0)


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
            yield Trouble(subject, "creating", "", 15.0, uid=uid)  # it may be pulling: only an event tells


def _crash(container: Object) -> str:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    text = f"container {container['name']} ended again and again, last with status {ended.get('exitCode', '?')}"
    return f"{text}: {ended['message'].strip()}" if ended.get("message") else text
