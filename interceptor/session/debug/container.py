"""Puts a debug container into a running pod and waits until it runs; `run` calls it for each pod, and `copy` the waiting."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, Conflict, Forbidden, Invalid, NotFound
from interceptor.kube.resources import EVENTS, PODS
from interceptor.session.debug.options import IMAGE_VARIABLE, DebugOptions
from interceptor.session.debug.place import Place
from interceptor.swap import precondition
from interceptor.workload.debugger import debug_container, fitted, new_name, status_of

Object = dict[str, Any]

START_WITHIN = 180.0  # seconds: a large image is pulled in that time on most networks
_IMAGE_PATIENCE = 4.0  # the kubelet tries again at once, and a registry may answer then
_ATTEMPTS = 20
_NEVER = frozenset({"ErrImageNeverPull", "InvalidImageName"})
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
_NAMED = re.compile(r'containers? ((?:"[^"]+",? ?)+)')  # in what Pod Security objects to
_QUOTED = re.compile(r'"([^"]+)"')
_MAKING = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_STAYS = "its entry stays in the pod's spec, where Kubernetes lets nobody remove it"
_ERRANDS_AS_ROOT = frozenset({"capture", "connections"})


def body_for(pod: Object, options: DebugOptions, name: str) -> Object:
    """The container that fits this pod."""
    as_root = options.profile is None and options.errand in _ERRANDS_AS_ROOT
    context = fitted(options.chosen_profile, pod, as_root=as_root)
    return debug_container(name, options.chosen_image, context)


async def start(cluster: Cluster, namespace: str, pod: Object, options: DebugOptions) -> Place:
    """Start an ephemeral container in a pod; it ends by itself unless it is `held` soon. Its entry in the spec stays."""
    name, pod_name = new_name(), pod["metadata"]["name"]
    body = body_for(pod, options, name)
    if options.share is not None:
        body["targetContainerName"] = options.share
    try:
        await add(cluster, namespace, pod_name, body)
    except Forbidden as error:
        raise refused(error, pod, name, options) from error
    await wait_running(cluster, namespace, pod_name, name, options.chosen_image, stays=_STAYS)
    return Place(cluster, namespace, pod_name, name, options.chosen_image)


async def add(cluster: Cluster, namespace: str, pod: str, body: Object) -> None:
    """Write the container into the pod's list, whoever else writes there."""
    for _ in range(_ATTEMPTS):
        found = await cluster.get(PODS, namespace, pod)
        there = found["spec"].get("ephemeralContainers")
        path, value = "/spec/ephemeralContainers", [body]
        change = {"op": "add", "path": f"{path}/-" if there else path, "value": body if there else value}
        patch = [precondition(found["metadata"]["resourceVersion"]), change]
        try:
            await cluster.patch(PODS, namespace, pod, patch, subresource="ephemeralcontainers")
        except Conflict:
            continue
        except NotFound as error:
            if error.reason == "NotFound":
                raise InterceptorError(f"pod {pod} is gone") from error
            hint = "it needs 1.25 or newer; --copy works without"
            raise InterceptorError("this cluster knows no ephemeral containers", hint=hint) from error
        return
    raise InterceptorError(
        f"pod {pod} changed under each of {_ATTEMPTS} attempts to write to it",
        hint=f"something updates it all the time: see kubectl get pod {pod} -n {namespace} -w",
    )


def refused(error: ApiError, pod: Object, container: str, options: DebugOptions) -> InterceptorError:
    """The admission's answer in a person's words; an error about rights as it is.

    It judges the whole pod, and names the containers that it objects to: `container`, or what was there before.
    """
    _, violates, why = error.message.partition("violates PodSecurity ")
    if not violates:
        return error
    name, namespace, profile = pod["metadata"]["name"], pod["metadata"]["namespace"], options.chosen_profile
    named = {one for names in _NAMED.findall(why) for one in _QUOTED.findall(names)}
    put_in = named & {item["name"] for item in pod["spec"].get("ephemeralContainers") or ()}
    if put_in and named <= {container, *put_in}:
        who = ", ".join(sorted(put_in))
        text = f"Pod Security of namespace {namespace} refuses what was put into pod {name} before, {who}: {why}"
        fitting = "restricted" if container in named else profile
        hint = f"it stays as long as the pod: delete the pod, or look at a copy without it: --copy --profile {fitting}"
        return InterceptorError(text, hint=hint)
    if named != {container}:
        text = f"Pod Security of namespace {namespace} refuses pod {name} as it is, whatever is put into it: {why}"
        return InterceptorError(text, hint="ask for another namespace, or for an exemption")
    hint = "restricted is the only profile it may allow: --profile restricted"
    if profile == "restricted":
        hint = "ask for another namespace, or for an exemption"
    return InterceptorError(f"Pod Security of namespace {namespace} refuses the profile {profile}: {why}", hint=hint)


async def wait_running(
    cluster: Cluster, namespace: str, pod: str, container: str, image: str, *, stays: str = ""
) -> None:
    """Return once it runs. Raises what the pod's status and events say where it can't."""
    try:
        async with asyncio.timeout(START_WITHIN):
            await _until_running(cluster, namespace, pod, container, image, stays)
    except TimeoutError as error:
        raise InterceptorError(
            f"the debug container of pod {pod} did not start within {START_WITHIN:.0f} s",
            hint=f"see kubectl describe pod {pod} -n {namespace}",
        ) from error


async def _until_running(cluster: Cluster, namespace: str, pod: str, container: str, image: str, stays: str) -> None:
    seen = False
    failing: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def fail(reason: str) -> None:
        if not failing.done():
            failing.set_result(reason)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_raise(failing, cluster, namespace, pod, container, image, stays), name="trouble")
        timer: asyncio.TimerHandle | None = None
        try:
            events = cluster.watch(PODS, namespace, field_selector=f"metadata.name={pod}")
            async with aclosing(events):
                async for event in events:
                    if event.type == "DELETED" or (event.type == "SYNCED" and not seen):
                        raise InterceptorError(f"pod {pod} was deleted meanwhile")
                    if event.type == "SYNCED":
                        continue
                    seen = True
                    state = status_of(event.object, container).get("state") or {}
                    reason = str((state.get("waiting") or {}).get("reason") or "")
                    if "running" in state:
                        return
                    if "terminated" in state:
                        raise _ended(state["terminated"], pod, image, stays)
                    if reason in _NEVER or reason in _MAKING:
                        fail(reason)
                    elif reason in _PULLING and timer is None:
                        timer = asyncio.get_running_loop().call_later(_IMAGE_PATIENCE, fail, reason)
                    elif reason not in _PULLING and timer is not None:
                        timer.cancel()
                        timer = None
                    if (event.object.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                        raise InterceptorError(f"pod {pod} has ended meanwhile", hint="a copy of it: add --copy")
        finally:
            if timer is not None:
                timer.cancel()
            waiting.cancel()


async def _raise(
    failing: asyncio.Future[str], cluster: Cluster, namespace: str, pod: str, container: str, image: str, stays: str
) -> None:
    """Once the container can't start: why, in the words of the pod's events."""
    reason = await failing
    why = await told(cluster, namespace, pod, container) or reason
    if reason in _MAKING:
        text, hint = f"the debug container of pod {pod} can't start: {why}", "another profile or image may help"
    else:
        text = f"pod {pod} can't get image {image}: {why}"
        hint = f"name one it can pull with --image or {IMAGE_VARIABLE} (images/debug of the project builds ours)"
    raise InterceptorError(text, hint=f"{hint}; {stays}" if stays else hint)


def _ended(ended: Object, pod: str, image: str, stays: str) -> InterceptorError:
    why = str(ended.get("message") or ended.get("reason") or "")
    if "executable file not found" in why or "no such file or directory" in why:
        text, hint = (
            f"image {image} has no shell (sh), which holds the debug container",
            "name another one with --image",
        )
    else:
        text, hint = f"the debug container of pod {pod} ended at once with status {ended.get('exitCode', '?')}", ""
        if why and why not in ("Error", "Completed"):
            text = f"{text}: {why.strip()}"
    return InterceptorError(" ".join(text.split()), hint="; ".join(filter(None, (hint, stays))))


async def told(cluster: Cluster, namespace: str, pod: str, container: str) -> str:
    """What the newest warning about this one container says, empty where none may be read."""
    query = f"involvedObject.kind=Pod,involvedObject.name={pod},type=Warning"
    try:
        events = (await cluster.list(EVENTS, namespace, field_selector=query)).items
    except (Forbidden, Invalid):
        return ""
    about = [
        event
        for event in events
        if f"{{{container}}}" in str((event.get("involvedObject") or {}).get("fieldPath") or "")
        and (message := str(event.get("message") or "")) and not message.removeprefix("Error: ").isalnum()
        and event.get("reason") != "BackOff"
    ]  # fmt: skip
    newest = max(about, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), default={})
    return " ".join(str(newest.get("message") or "").split())
