"""From what a person typed to one workload and one container; `session` calls it first, `ports` and `inspect` next."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError, UsageError
from interceptor.kube import resources
from interceptor.kube.errors import Forbidden, NotFound
from interceptor.workload.selectors import selects

if TYPE_CHECKING:
    from interceptor.kube import Cluster
    from interceptor.kube.resources import Resource

Object = dict[str, Any]

_KINDS = {
    resources.DEPLOYMENTS: ("deploy", "deployment", "deployments", "deployment.apps", "deployments.apps"),
    resources.SERVICES: ("svc", "service", "services"),
    resources.PODS: ("po", "pod", "pods"),
    resources.STATEFUL_SETS: ("sts", "statefulset", "statefulsets", "statefulset.apps", "statefulsets.apps"),
    resources.DAEMON_SETS: ("ds", "daemonset", "daemonsets", "daemonset.apps", "daemonsets.apps"),
    resources.REPLICA_SETS: ("rs", "replicaset", "replicasets", "replicaset.apps", "replicasets.apps"),
    resources.JOBS: ("job", "jobs", "job.batch", "jobs.batch"),
    resources.CRON_JOBS: ("cj", "cronjob", "cronjobs", "cronjob.batch", "cronjobs.batch"),
}
_WORDS = {word: resource for resource, words in _KINDS.items() for word in words}
_MESH_CONTAINERS = frozenset({"linkerd-proxy", "istio-proxy", "istio-validation", "kuma-sidecar", "consul-dataplane"})
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True)
class Target:
    """What was typed. `resource` is None for a bare name: a Deployment, else a Service."""

    resource: Resource | None
    name: str


def parse(text: str) -> Target:
    """Read `deploy/x`, `svc/x`, `po/x`, `x` and kubectl's other spellings."""
    kind, slash, name = text.partition("/")
    if not slash:
        kind, name = "", text
    if not name or "/" in name:
        raise UsageError(f"{text!r} names no workload", hint="type it as kubectl does: deploy/NAME, svc/NAME or NAME")
    if not kind:
        return Target(None, name)
    resource = _WORDS.get(kind.lower())
    if resource is None:
        raise UsageError(f"unknown kind {kind!r}", hint=f"did you mean deploy/{name} or svc/{name}?")
    return Target(resource, name)


class NoSuchWorkload(InterceptorError):
    """Nothing of that name is there; the hint says what is."""


async def resolve(cluster: Cluster, namespace: str, text: str) -> Object:
    """The Deployment behind what was typed."""
    target = parse(text)
    match target.resource:
        case resources.DEPLOYMENTS:
            return await _get(cluster, resources.DEPLOYMENTS, namespace, target.name)
        case resources.SERVICES:
            service = await _get(cluster, resources.SERVICES, namespace, target.name)
            return await _behind_service(cluster, namespace, service)
        case resources.PODS:
            pod = await _get(cluster, resources.PODS, namespace, target.name)
            return await _owner(cluster, namespace, pod, f"pod {target.name}")
        case None:
            return await _by_bare_name(cluster, namespace, target.name)
        case other:
            raise _not_supported(other.kind, target.name)


def choose_container(workload: Object, wanted: str | None) -> str:
    """The container to swap: the wanted one, the only one, or the one the template says is its default."""
    spec = workload["spec"]["template"]["spec"]
    containers = [container["name"] for container in spec["containers"]]
    title = f"{workload['kind']} {workload['metadata']['name']}"
    if wanted is not None:
        if wanted in containers:
            return wanted
        if wanted in (container["name"] for container in spec.get("initContainers") or []):
            raise InterceptorError(f"{wanted} is an init container of {title}; only its containers can be intercepted")
        raise InterceptorError(f"{title} has no container {wanted!r}", hint=f"it has: {', '.join(containers)}")
    own = [name for name in containers if name not in _MESH_CONTAINERS] or containers
    annotations = (workload["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    default = annotations.get(_DEFAULT_CONTAINER)
    if default in containers:
        return str(default)
    if len(own) > 1:
        raise UsageError(f"{title} has several containers", hint=f"choose one: {' or '.join('-c ' + c for c in own)}")
    return str(own[0])


async def _by_bare_name(cluster: Cluster, namespace: str, name: str) -> Object:
    try:
        return await cluster.get(resources.DEPLOYMENTS, namespace, name)
    except NotFound:
        pass
    try:
        service = await cluster.get(resources.SERVICES, namespace, name)
    except NotFound:
        raise await _no_such(cluster, "deployment or service", namespace, name) from None
    return await _behind_service(cluster, namespace, service)


async def _get(cluster: Cluster, resource: Resource, namespace: str, name: str) -> Object:
    try:
        return await cluster.get(resource, namespace, name)
    except NotFound:
        raise await _no_such(cluster, resource.kind.lower(), namespace, name, (resource,)) from None


async def _behind_service(cluster: Cluster, namespace: str, service: Object) -> Object:
    """The one Deployment whose pods a Service selects."""
    name, selector = service["metadata"]["name"], service["spec"].get("selector")
    if not selector or service["spec"].get("type") == "ExternalName":
        raise InterceptorError(f"service {name} selects no pods of its own", hint="name the workload: deploy/NAME")
    deployments = (await cluster.list(resources.DEPLOYMENTS, namespace)).items
    behind = [item for item in deployments if selects(selector, item)]
    if len(behind) == 1:
        return behind[0]
    if behind:
        names = " or ".join(f"deploy/{item['metadata']['name']}" for item in behind)
        raise InterceptorError(f"service {name} sends to several deployments", hint=f"choose one: {names}")
    query = ",".join(f"{key}={value}" for key, value in selector.items())
    pods = (await cluster.list(resources.PODS, namespace, label_selector=query)).items
    if not pods:
        raise InterceptorError(f"service {name} has no deployment and no pod behind it", hint="name one: deploy/NAME")
    return await _owner(cluster, namespace, pods[0], f"service {name}")


async def _owner(cluster: Cluster, namespace: str, pod: Object, title: str) -> Object:
    """The Deployment that a pod belongs to."""
    controller = _controller(pod)
    if controller is not None and controller["kind"] == "ReplicaSet":
        replica_set = await cluster.get(resources.REPLICA_SETS, namespace, controller["name"])
        controller = _controller(replica_set) or controller
    if controller is None:
        raise InterceptorError(f"{title}: a pod without a controller can't be intercepted yet")
    if controller["kind"] != "Deployment":
        raise _not_supported(controller["kind"], controller["name"])
    return await cluster.get(resources.DEPLOYMENTS, namespace, controller["name"])


def _controller(item: Object) -> Object | None:
    owners: list[Object] = item["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def _not_supported(kind: str, name: str) -> InterceptorError:
    return InterceptorError(f"{kind} {name}: kind not supported yet", hint="deployments can be intercepted")


async def _no_such(
    cluster: Cluster,
    title: str,
    namespace: str,
    name: str,
    kinds: tuple[Resource, ...] = (resources.DEPLOYMENTS, resources.SERVICES),
) -> InterceptorError:
    """Say where it is instead, as far as this user may look."""
    message = f"no {title} {name!r} in namespace {namespace}"
    elsewhere: list[str] = []
    here: list[str] = []
    for resource in kinds:
        try:
            here += [item["metadata"]["name"] for item in (await cluster.list(resource, namespace)).items]
        except Forbidden:
            continue  # then there is nothing to suggest
        if (await cluster.allowed("list", resource, None))[0]:
            found = await cluster.list(resource, None, field_selector=f"metadata.name={name}")
            elsewhere += [item["metadata"]["namespace"] for item in found.items]
    if elsewhere:
        return NoSuchWorkload(message, hint=f"it is in namespace {min(elsewhere)}: add -n with its name")
    close = difflib.get_close_matches(name, sorted(set(here)), n=3)
    if close:
        return NoSuchWorkload(message, hint=f"did you mean {' or '.join(close)}?")
    if here:
        some = sorted(set(here))
        return NoSuchWorkload(message, hint=f"there is: {', '.join(some[:8])}{' ...' if len(some) > 8 else ''}")
    return NoSuchWorkload(message, hint=f"look with: kubectl get deployments,services -n {namespace}")
