"""From what a person typed to one workload and one container; `session` calls it first, `ports` and `inspect` next.

A pod or a ReplicaSet that a workload made stands for that workload, a Service for what its pods belong to. What comes
back is the object as the API has it; a bare pod comes in a workload's shape (`swap.pod.lift`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError, UsageError
from interceptor.kube import resources
from interceptor.kube.errors import Forbidden, NotFound
from interceptor.swap.pod import lift
from interceptor.workload.kinds import DAEMON_SET, DEPLOYMENT, POD, REPLICA_SET, STATEFUL_SET, Kind, kind_for, title_of
from interceptor.workload.missing import Unsupported, no_such, unsupported
from interceptor.workload.selectors import selects
from interceptor.workload.stand_in import belongs_to_stand_in, find_stand_in

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
    resources.REPLICATION_CONTROLLERS: ("rc", "replicationcontroller", "replicationcontrollers"),
    resources.JOBS: ("job", "jobs", "job.batch", "jobs.batch"),
    resources.CRON_JOBS: ("cj", "cronjob", "cronjobs", "cronjob.batch", "cronjobs.batch"),
}
_WORDS = {word: resource for resource, words in _KINDS.items() for word in words}
_BARE_NAMES = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, REPLICA_SET, POD)  # after a Service: in this order
_MESH_CONTAINERS = frozenset({"linkerd-proxy", "istio-proxy", "istio-validation", "kuma-sidecar", "consul-dataplane"})
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True)
class Target:
    """What was typed. `resource` is None for a bare name: a Deployment, a Service, or whatever else has it."""

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
        hint = f"did you mean deploy/{name} or svc/{name}? Others: sts, ds, rs, pod"
        raise UsageError(f"{kind!r} is no kind that can be intercepted", hint=hint)
    return Target(resource, name)


async def resolve(cluster: Cluster, namespace: str, text: str) -> Object:
    """The workload behind what was typed."""
    target = parse(text)
    if target.resource is None:
        return await _by_bare_name(cluster, namespace, target.name)
    if target.resource is resources.SERVICES:
        service = await _get(cluster, resources.SERVICES, namespace, target.name)
        return await _behind_service(cluster, namespace, service)
    kind = kind_for(target.resource)
    if kind is None:
        raise unsupported(target.resource.kind, target.name)
    return await _whole(cluster, namespace, kind, await _get(cluster, kind.resource, namespace, target.name))


def choose_container(workload: Object, wanted: str | None) -> str:
    """The container to swap: the wanted one, the only one, or the one the template says is its default."""
    spec = workload["spec"]["template"]["spec"]
    containers = [container["name"] for container in spec["containers"]]
    title = title_of(workload)
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
    deployment = await _get_if_any(cluster, DEPLOYMENT, namespace, name)
    if deployment is not None:
        return deployment
    try:
        service = await cluster.get(resources.SERVICES, namespace, name)
    except (NotFound, Forbidden):
        pass
    else:
        return await _behind_service(cluster, namespace, service)
    for kind in _BARE_NAMES[1:]:
        found = await _get_if_any(cluster, kind, namespace, name)
        if found is not None:
            return await _whole(cluster, namespace, kind, found)
    raise await no_such(cluster, "deployment or service", namespace, name)


async def _get(cluster: Cluster, resource: Resource, namespace: str, name: str) -> Object:
    try:
        return await cluster.get(resource, namespace, name)
    except NotFound:
        if resource is resources.PODS:
            stood_in = await find_stand_in(cluster, namespace, name)
            if stood_in is not None:
                return stood_in
        raise await no_such(cluster, resource.kind.lower(), namespace, name, (resource,)) from None


async def _get_if_any(cluster: Cluster, kind: Kind, namespace: str, name: str) -> Object | None:
    try:
        return await cluster.get(kind.resource, namespace, name)
    except (NotFound, Forbidden):
        return None


async def _whole(cluster: Cluster, namespace: str, kind: Kind, found: Object) -> Object:
    """The workload that an object belongs to: itself, where nobody made it."""
    found.setdefault("kind", kind.resource.kind)
    if kind is POD and "pod" in found:
        return found  # lifted already: what a session's stand-in remembers
    if kind in (POD, REPLICA_SET):
        return await _owner(cluster, namespace, kind, found)
    return found


async def _owner(cluster: Cluster, namespace: str, kind: Kind, item: Object) -> Object:
    """The workload that a pod or a ReplicaSet belongs to."""
    title = f"{kind.short}/{item['metadata']['name']}"
    controller = next((o for o in item["metadata"].get("ownerReferences") or [] if o.get("controller")), None)
    if controller is None:
        return await _alone(cluster, namespace, kind, item)
    above = next(
        (one for one in _BARE_NAMES if (one.resource.kind, one.resource.group_version)
         == (controller["kind"], controller["apiVersion"])), None
    )  # fmt: skip
    if above is None or above is POD:
        raise unsupported(controller["kind"], controller["name"], controller["apiVersion"], title)
    try:
        owner = await cluster.get(above.resource, namespace, controller["name"])
    except NotFound:
        raise InterceptorError(
            f"{title} belongs to {above.short}/{controller['name']}, which is gone",
            hint="the cluster is about to remove it",
        ) from None
    return await _whole(cluster, namespace, above, owner)


async def _alone(cluster: Cluster, namespace: str, kind: Kind, item: Object) -> Object:
    """What nobody made but a person: itself, unless a session made it to stand in for a pod."""
    name = item["metadata"]["name"] if kind is POD else belongs_to_stand_in(item)
    stood_in = await find_stand_in(cluster, namespace, name) if name is not None else None
    if stood_in is not None:
        return stood_in  # also while the pod itself is still there, about to end
    return lift(item) if kind is POD else item


async def _behind_service(cluster: Cluster, namespace: str, service: Object) -> Object:
    """The one workload whose pods a Service selects."""
    name, selector = service["metadata"]["name"], service["spec"].get("selector")
    if not selector or service["spec"].get("type") == "ExternalName":
        raise InterceptorError(f"service {name} selects no pods of its own", hint="name the workload: deploy/NAME")
    deployments = await _selected(cluster, namespace, DEPLOYMENT, selector)
    if len(deployments) == 1:
        return deployments[0]
    found = deployments or await _other_kinds(cluster, namespace, selector)
    titles = {title_of(item): item for item in found}
    if len(titles) == 1:
        return found[0]
    if titles:
        raise InterceptorError(
            f"service {name} sends to several workloads", hint=f"choose one: {' or '.join(sorted(titles))}"
        )
    raise InterceptorError(f"service {name} has no workload and no pod behind it", hint="name one: deploy/NAME")


async def _other_kinds(cluster: Cluster, namespace: str, selector: dict[str, str]) -> list[Object]:
    """By its pods, where there are any: these have no doubt whose they are. Else by the templates."""
    query = ",".join(f"{key}={value}" for key, value in selector.items())
    pods = (await cluster.list(resources.PODS, namespace, label_selector=query)).items
    found: dict[str, Object] = {}
    refused: Unsupported | None = None
    for pod in pods:
        controller = next((o["uid"] for o in pod["metadata"].get("ownerReferences") or [] if o.get("controller")), "")
        if controller and controller in found:
            continue
        try:
            found[controller or pod["metadata"]["uid"]] = await _whole(cluster, namespace, POD, pod)
        except Unsupported as error:
            refused = error
    if refused is not None and not found:
        raise refused
    if found:
        return list({item["metadata"]["uid"]: item for item in found.values()}.values())
    listed = [await _selected(cluster, namespace, kind, selector) for kind in (STATEFUL_SET, DAEMON_SET, REPLICA_SET)]
    return [item for items in listed for item in items if not item["metadata"].get("ownerReferences")]


async def _selected(cluster: Cluster, namespace: str, kind: Kind, selector: dict[str, str]) -> list[Object]:
    try:
        items = (await cluster.list(kind.resource, namespace)).items
    except (Forbidden, NotFound):
        return []
    return [{**item, "kind": kind.resource.kind} for item in items if selects(selector, item)]
