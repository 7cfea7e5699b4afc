"""A bare pod as a workload, and back: a pod can't be changed, so a ReplicaSet of the session runs the agent in its stead.

The ReplicaSet (the *carrier*) keeps the pod as it was given in an annotation. So the pod comes back from the cluster alone,
also when the node of the agent's pod dies: then the carrier starts another one, whose guard restores. `workload` calls
`given`, `lift` and `carrier`; whoever restores calls `carried`. Pure.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.swap.record import SESSION_ANNOTATION, SWAP_ANNOTATION, Record, encode, record_of

Object = dict[str, Any]

POD_ANNOTATION = "interceptor/pod"  # on the carrier: the pod as it was given, JSON

# What the API server writes into every pod; a pod to be created must not have it.
_SERVERS_OWN = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "managedFields", "selfLink",
)  # fmt: skip
# What network plugins note on a pod that runs; with a pod that comes back it would be a lie.
_RUNTIME_NOTES = ("cni.projectcalico.org/", "k8s.v1.cni.cncf.io/network-status", "k8s.v1.cni.cncf.io/networks-status")
_NOT_IN_TEMPLATES = ("activeDeadlineSeconds", "ephemeralContainers", "schedulingGates")
_HOST_NAME_LIMIT = 63  # the kubelet cuts longer pod names


def given(pod: Object) -> Object:
    """A living pod as whoever made it gave it: without what the cluster added while it ran."""
    original = {key: copy.deepcopy(value) for key, value in pod.items() if key != "status"}
    metadata = original["metadata"] = {k: v for k, v in original["metadata"].items() if k not in _SERVERS_OWN}
    notes = _owned(pod, "annotations", status=True) - _owned(pod, "annotations", status=False)
    annotations = metadata.get("annotations") or {}
    kept = {k: v for k, v in annotations.items() if k not in notes and not k.startswith(_RUNTIME_NOTES)}
    if kept != annotations:
        metadata["annotations"] = kept
        if not kept:
            del metadata["annotations"]
    spec = original["spec"]
    spec.pop("ephemeralContainers", None)  # a pod can't be created with them
    if "status" in pod and not _chose_node(pod):
        spec.pop("nodeName", None)  # a scheduler's
    original.setdefault("apiVersion", "v1")
    original.setdefault("kind", "Pod")
    return original


def lift(pod: Object) -> Object:
    """The pod in a workload's shape, so that everything that reads templates reads it too; keeps it under `pod`."""
    original = given(pod)
    metadata = {k: v for k, v in original["metadata"].items() if k in ("labels", "annotations")}
    template = {"metadata": copy.deepcopy(metadata), "spec": copy.deepcopy(original["spec"])}
    spec = {"replicas": 1, "selector": {"matchLabels": metadata.get("labels") or {}}, "template": template}
    own = {k: copy.deepcopy(v) for k, v in pod["metadata"].items() if k != "generation"}  # no rollout has it
    lifted = {"apiVersion": "v1", "kind": "Pod", "metadata": own, "spec": spec}
    return {**lifted, "status": copy.deepcopy(pod.get("status") or {}), "pod": original}


def carrier(swapped: Object, name: str, labels: dict[str, str], owner: Object) -> Object:
    """The ReplicaSet to create, from a lifted pod that `swap` was applied to."""
    record = record_of(swapped)
    assert record is not None
    original = swapped["pod"]
    template = copy.deepcopy(swapped["spec"]["template"])
    mark = {SESSION_ANNOTATION: record.session}
    template["metadata"]["labels"] = {**(template["metadata"].get("labels") or {}), **mark}
    spec = {k: v for k, v in template["spec"].items() if k not in _NOT_IN_TEMPLATES}
    spec["restartPolicy"] = "Always"
    host = original["metadata"]["name"][:_HOST_NAME_LIMIT].rstrip("-.")
    if not spec.get("hostname") and "." not in host:
        spec["hostname"] = host
    template["spec"] = spec
    annotations = {
        SWAP_ANNOTATION: encode(Record(record.session, record.holder, record.since, ())),
        POD_ANNOTATION: json.dumps(original, separators=(",", ":"), ensure_ascii=False),
    }
    metadata = {
        "name": name,
        "namespace": original["metadata"]["namespace"],
        "labels": labels,
        "annotations": annotations,
        "ownerReferences": [owner],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata,
        "spec": {"replicas": 1, "selector": {"matchLabels": mark}, "template": template},
    }


def carried(found: Object) -> Object | None:
    """The pod that a carrier stands in for, ready to be created; None for any other object."""
    annotation = ((found.get("metadata") or {}).get("annotations") or {}).get(POD_ANNOTATION)
    if annotation is None:
        return None
    try:
        original = json.loads(annotation)
        if not isinstance(original["spec"], dict) or not isinstance(original["metadata"]["name"], str):
            raise TypeError("no pod")
    except (ValueError, KeyError, TypeError) as error:
        raise InterceptorError(
            f"the annotation {POD_ANNOTATION} of this ReplicaSet was damaged: {error!r}",
            hint="create the pod again from its manifest, then delete the ReplicaSet",
        ) from error
    whole: Object = original
    return whole


def _chose_node(pod: Object) -> bool:
    """Whether somebody named the node in the pod itself; a scheduler binds without leaving a trace there."""
    for entry in pod["metadata"].get("managedFields") or []:
        if "f:nodeName" in ((entry.get("fieldsV1") or {}).get("f:spec") or {}):
            return True
    return False


def _owned(pod: Object, what: str, *, status: bool) -> set[str]:
    """Keys of labels or annotations by who wrote them: whoever reports a status (kubelet, plugins), or others."""
    keys: set[str] = set()
    for entry in pod["metadata"].get("managedFields") or []:
        if (entry.get("subresource") == "status") == status:
            fields = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get(f"f:{what}") or {}
            keys |= {name[2:] for name in fields if name.startswith("f:")}
    return keys
