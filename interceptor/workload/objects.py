"""The bodies of what a session creates beside the swap; `session` sends them in the order written here. Pure.

The Job is the session object: everything else is owned by it, and it never has a pod. While the client lives it pushes
the Job's deadline ahead; when nobody does, the cluster's own Job controller ends the Job, the TTL controller deletes
it and the garbage collector deletes what it owns. Seen on Kubernetes 1.34: gone within a second of the deadline, also
where a quota allows no pods and Pod Security is `restricted` (nothing is ever admitted but the Job itself).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from interceptor import __version__
from interceptor.kube import resources
from interceptor.kube.resources import Resource
from interceptor.swap import SESSION_ANNOTATION
from interceptor.swap.exchange import by_hand
from interceptor.workload.kinds import DEPLOYMENT, POD, STATEFUL_SET, Kind, WorkloadRef, replicas_of
from interceptor.workload.names import lease_name, object_name
from interceptor.workload.podlist import PodQuery
from interceptor.workload.ports import PortMap

Object = dict[str, Any]

VERSION_ANNOTATION = "interceptor/version"  # of the client whose agent runs: an older one may not understand it
OURS = "app.kubernetes.io/managed-by=interceptor"  # selects everything that sessions create


@dataclass(frozen=True)
class SessionNames:
    """Which session, on which workload; every object's name and path follow from it."""

    session: str
    namespace: str
    workload: str
    kind: Kind = DEPLOYMENT

    @property
    def ref(self) -> WorkloadRef:
        """The workload, and where its swap is written."""
        return WorkloadRef(self.kind, self.namespace, self.workload, self.session)

    @property
    def object(self) -> str:
        """The name of the Job, ServiceAccount, Role, RoleBinding and Secret."""
        return object_name(self.session)

    @property
    def lease(self) -> str:
        """The Lease's name."""
        return lease_name(self.kind.resource.kind, self.workload)

    @property
    def labels(self) -> dict[str, str]:
        """By which people and `interceptor` find what belongs to a session."""
        return {"app.kubernetes.io/managed-by": "interceptor", SESSION_ANNOTATION: self.session}


def job(names: SessionNames, deadline: int) -> Object:
    """The session object. Its template runs nowhere; it is written so that `restricted` has nothing to warn of."""
    container = {
        "name": "none",
        "image": "interceptor.invalid/never-runs",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    spec = {
        "parallelism": 0,
        "backoffLimit": 0,
        "activeDeadlineSeconds": deadline,
        "ttlSecondsAfterFinished": 0,
        "template": {"metadata": {"labels": names.labels}, "spec": pod},
    }
    made = _object(resources.JOBS, names, None, {"spec": spec})
    made["metadata"]["annotations"] = {VERSION_ANNOTATION: __version__}
    return made


def owner_reference(created_job: Object) -> Object:
    """What makes the garbage collector delete an object together with the session object."""
    return {
        "apiVersion": resources.JOBS.group_version,
        "kind": resources.JOBS.kind,
        "name": created_job["metadata"]["name"],
        "uid": created_job["metadata"]["uid"],
        "blockOwnerDeletion": False,
    }


def lease(names: SessionNames, owner: Object, holder: str, now: datetime, seconds: int) -> Object:
    """The lock on the workload. Kubernetes' own leader election reads these fields the same way."""
    spec = {
        "holderIdentity": f"{holder}/{names.session}",
        "leaseDurationSeconds": seconds,
        "acquireTime": micro_time(now),
        "renewTime": micro_time(now),
        "leaseTransitions": 0,
    }
    return _object(resources.LEASES, names, owner, {"spec": spec}, name=names.lease)


def service_account(names: SessionNames, owner: Object) -> Object:
    """Whom the agents are to the API server. Pods get its token from the Secret, not by mounting."""
    return _object(resources.SERVICE_ACCOUNTS, names, owner, {"automountServiceAccountToken": False})


def role(names: SessionNames, owner: Object, workload: Object) -> Object:
    """The least that an agent needs to put the workload back when the client is gone."""
    rules = [
        _rule(names.ref.resource, names.ref.object, "get", "patch"),
        _rule(resources.LEASES, names.lease, "get"),
        _rule(resources.JOBS, names.object, "get", "delete"),
        # To hand callers over to the restored pods; their names are not known beforehand.
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        *_pod_rules(names, workload),
    ]
    return _object(resources.ROLES, names, owner, {"rules": rules})


def _pod_rules(names: SessionNames, workload: Object) -> list[Object]:
    """Where no controller exchanges pods, whoever restores has to. RBAC knows pods by name only, and only a StatefulSet's
    are known beforehand: some more than there are now, since it may be scaled up.
    """
    if names.kind is POD:
        return [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}]
    if not by_hand(workload):
        return []
    rule: Object = {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}
    if names.kind is STATEFUL_SET:
        first = int((workload["spec"].get("ordinals") or {}).get("start") or 0)
        rule["resourceNames"] = [f"{names.workload}-{first + n}" for n in range(2 * replicas_of(workload) + 8)]
    return [rule]


def role_binding(names: SessionNames, owner: Object) -> Object:
    """Gives the session's Role to the session's ServiceAccount."""
    subject = {"kind": "ServiceAccount", "name": names.object, "namespace": names.namespace}
    reference = {"apiGroup": resources.ROLES.group, "kind": resources.ROLES.kind, "name": names.object}
    return _object(resources.ROLE_BINDINGS, names, owner, {"subjects": [subject], "roleRef": reference})


def secret(names: SessionNames, owner: Object, files: Mapping[str, bytes]) -> Object:
    """The agent's files."""
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    return _object(resources.SECRETS, names, owner, {"type": "Opaque", "data": data})


def config(
    names: SessionNames,
    *,
    holder: str,
    tunnel_port: int,
    health_port: int,
    ports: Sequence[PortMap],
    hold: float = 10.0,
    grace: float = 30.0,
    lost_after: float = 3.0,
    silent_after: float = 15.0,
    guard: bool = True,
    pods: PodQuery = PodQuery(),  # noqa: B008  (a frozen value)
    alone: float = 0.0,
    app: Object | None = None,
    policy: bool = False,
) -> bytes:
    """The agent's `config.json`, as docs/architecture.md shows it."""
    datagrams = [port.pod for port in ports if port.protocol == "UDP"]
    whole = {
        "session": names.session,
        "namespace": names.namespace,
        "tunnel_port": tunnel_port,
        "health_port": health_port,
        "ports": [port.pod for port in ports if port.protocol == "TCP"],
        **({"datagrams": datagrams} if datagrams else {}),
        "hold": hold,
        "grace": grace,
        "lost_after": lost_after,
        "silent_after": silent_after,
        "guard": guard,
        "holder": holder,
        "kind": names.kind.resource.kind,
        "workload": names.ref.resource.path(names.namespace, names.ref.object),
        "lease": resources.LEASES.path(names.namespace, names.lease),
        "owner": resources.JOBS.path(names.namespace, names.object),
        "pods": f"{resources.PODS.path(names.namespace)}?{pods.url}",
        "alone": alone,
        "app": app,
        "policy": policy,
    }
    return json.dumps(whole, indent=1).encode()


def micro_time(moment: datetime) -> str:
    """A moment as the API's MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _rule(resource: Resource, name: str, *verbs: str) -> Object:
    return {
        "apiGroups": [resource.group],
        "resources": [resource.plural],
        "resourceNames": [name],
        "verbs": list(verbs),
    }


def _object(
    resource: Resource, names: SessionNames, owner: Object | None, body: Object, name: str | None = None
) -> Object:
    metadata: Object = {"name": name or names.object, "namespace": names.namespace, "labels": names.labels}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": resource.group_version, "kind": resource.kind, "metadata": metadata, **body}
