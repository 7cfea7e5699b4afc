"""Kinds that `profile set` changes, what its session owns beside them, and the way back; `session.profile*` calls it.

A session on a ServiceProfile or a route is like one on a workload: the same session object, Lease and rights. What differs
is the guard. No agent runs in any pod of theirs, so the session starts one pod that does nothing else (`agent/policy.py`).
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.kube.errors import ApiError, Conflict, Forbidden, Invalid, NotFound
from interceptor.swap import SESSION_ANNOTATION, json_patch, precondition
from interceptor.swap.policy import FIELD_MANAGER, given_back, policy_record_of, revert
from interceptor.workload.change import Undone
from interceptor.workload.kinds import Kind, WorkloadRef
from interceptor.workload.names import lease_name
from interceptor.workload.objects import SessionNames

if TYPE_CHECKING:
    from interceptor.kube import Cluster
    from interceptor.kube.resources import Resource

Object = dict[str, Any]

POLICY_KINDS = (
    Kind(resources.SERVICE_PROFILES, "serviceprofile", scaled=False),
    Kind(resources.HTTP_ROUTES, "httproute", scaled=False),
    Kind(resources.GRPC_ROUTES, "grpcroute", scaled=False),
    Kind(resources.POLICY_HTTP_ROUTES, "httproute.policy.linkerd.io", scaled=False),
)
_BY_RESOURCE = {kind.resource: kind for kind in POLICY_KINDS}
_ATTEMPTS = 20
MOUNT = "/var/run/interceptor"
GUARD_PORT = 47812
_NOT_MESHED = {"linkerd.io/inject": "disabled", "sidecar.istio.io/inject": "false"}


def policy_kind(resource: Resource) -> Kind:
    """The kind of a ServiceProfile or a route."""
    return _BY_RESOURCE[resource]


def is_policy(ref: WorkloadRef | None) -> bool:
    """Whether a session is on one of these and not on a workload."""
    return ref is not None and ref.kind in POLICY_KINDS


def policy_from_lease(name: str, namespace: str, session: str = "") -> WorkloadRef | None:
    """What a Lease locks; of two groups with the same kind the first, since the lock is the same."""
    for kind in POLICY_KINDS:
        prefix = lease_name(kind.resource.kind, "")
        if name.startswith(prefix):
            found = WorkloadRef(kind, namespace, name.removeprefix(prefix), session)
            return found if lease_name(kind.resource.kind, found.name) == name else None
    return None


async def undo_policy(cluster: Cluster, ref: WorkloadRef, session: str | None) -> Undone:
    """Take back what the session (None: whichever) changed. Safe to call at any time, any number of times."""
    for attempt in range(_ATTEMPTS):
        try:
            found = await cluster.get(ref.resource, ref.namespace, ref.name)
        except NotFound:
            return Undone("gone")
        record = policy_record_of(found)
        if record is None or (session is not None and record.session != session):
            return Undone("nothing")
        reverted = revert(found)
        metadata = found["metadata"]
        try:
            if reverted.wanted is None:
                version = metadata["resourceVersion"]
                await cluster.delete(ref.resource, ref.namespace, ref.name, uid=metadata["uid"], version=version)
                return Undone("restored")
            operations = [precondition(metadata["resourceVersion"]), *json_patch(found, reverted.wanted)]
            stored = await cluster.patch(ref.resource, ref.namespace, ref.name, operations, manager=FIELD_MANAGER)
        except NotFound:
            return Undone("gone")
        except Conflict:
            await asyncio.sleep(random.uniform(0, min(1.0, 0.02 * 2**attempt)))  # noqa: S311 (no secret)
            continue
        managers = given_back(stored, record)
        if managers is not None:
            await _give_back(cluster, ref, stored, managers)
        return Undone("restored", list(reverted.kept))
    raise InterceptorError(f"{ref.title} changes faster than it can be restored", hint="run the same command again")


async def _give_back(cluster: Cluster, ref: WorkloadRef, stored: Object, managers: list[Object]) -> None:
    """Give the fields back to whom they belonged to. Nobody's content depends on it: if somebody writes first, so be it."""
    version = precondition(stored["metadata"]["resourceVersion"])
    write = {"op": "replace", "path": "/metadata/managedFields", "value": managers}
    try:
        await cluster.patch(ref.resource, ref.namespace, ref.name, [version, write], manager=FIELD_MANAGER)
    except (Conflict, NotFound, Forbidden, Invalid):
        return


def guard_role(names: SessionNames, owner: Object, *, made: bool) -> Object:
    """The least that the guard needs: this one object back as it was (or gone, if it is `made`), Lease, session object."""
    item = names.ref.resource

    def rule(resource: Resource, name: str, *verbs: str) -> Object:
        return {
            "apiGroups": [resource.group], "resources": [resource.plural], "resourceNames": [name], "verbs": list(verbs),
        }  # fmt: skip

    return {
        "apiVersion": resources.ROLES.group_version,
        "kind": resources.ROLES.kind,
        "metadata": {
            "name": names.object, "namespace": names.namespace, "labels": names.labels, "ownerReferences": [owner],
        },
        "rules": [
            rule(item, names.ref.name, "get", "patch", *(["delete"] if made else [])),
            rule(resources.LEASES, names.lease, "get"),
            rule(resources.JOBS, names.object, "get", "delete"),
        ],
    }  # fmt: skip


def guard_pod(names: SessionNames, owner: Object, image: str) -> Object:
    """The pod that reverts when the client is gone. It asks the API server and nobody else, so no mesh need be around it."""
    container = {
        "name": "guard",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-I", f"{MOUNT}/agent.pyz"],
        "volumeMounts": [{"name": "interceptor", "mountPath": MOUNT, "readOnly": True}],
        "readinessProbe": {"tcpSocket": {"port": GUARD_PORT}, "periodSeconds": 1, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
    }  # fmt: skip
    cluster_ca = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "cluster-ca.crt"}]}
    sources = [{"secret": {"name": names.object}}, {"configMap": cluster_ca}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.object,
            "namespace": names.namespace,
            "labels": names.labels,
            "annotations": {**_NOT_MESHED, SESSION_ANNOTATION: names.session},
            "ownerReferences": [owner],
        },
        "spec": {
            "restartPolicy": "OnFailure",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "interceptor", "projected": {"sources": sources, "defaultMode": 0o440}}],
        },
    }  # fmt: skip


def explained(error: ApiError, title: str) -> InterceptorError:
    """A refused change in one line that says whose it is."""
    if isinstance(error, Conflict):
        hint = "run the same command again"
        if "conflict with" in error.message:
            hint = "--force-conflicts takes the fields for the time"
        return InterceptorError(f"{title} can't be changed: {error.message}", hint=hint)
    if isinstance(error, Invalid) or error.status == 400:
        return InterceptorError(f"the cluster refuses this {title}: {error.message}")
    return error
