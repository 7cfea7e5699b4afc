"""The pod of `interceptor run`: like one of the workload's, beside it, with the agent in the chosen container's place.

Pure; `session.run` creates it. It shares the workload's service account, environment, volumes, node rules and what a mesh's
or a cloud's injection goes by. It must not be taken for one of the workload's pods: of the labels only those of injectors
stay, so no Service sends to it, no controller adopts it, no budget counts it. The price: a NetworkPolicy that allows the
workload something by its labels doesn't allow it this pod; `--label` gives it what such a policy wants.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interceptor.swap import SESSION_ANNOTATION, SWAP_ANNOTATION, SwapPlan, record_of, restore, swap
from interceptor.workload.kinds import STATEFUL_SET, kind_of
from interceptor.workload.objects import SessionNames

Object = dict[str, Any]

MANAGED_BY = "app.kubernetes.io/managed-by"
RUN = "interceptor-run"  # not "interceptor": what a run leaves, nobody has to restore
INJECTORS = ("sidecar.istio.io/", "istio.io/", "linkerd.io/", "config.linkerd.io/", "azure.workload.identity/",
              "kuma.io/", "consul.hashicorp.com/")  # fmt: skip
_NOT_KEPT = ("prometheus.io/", "interceptor/", "kubectl.kubernetes.io/restartedAt")
_POD_KEPT = (
    "serviceAccountName", "serviceAccount", "automountServiceAccountToken", "imagePullSecrets", "securityContext",
    "nodeSelector", "tolerations", "runtimeClassName", "dnsPolicy", "dnsConfig", "hostAliases", "hostname", "subdomain",
    "setHostnameAsFQDN", "enableServiceLinks", "hostNetwork", "schedulerName", "os", "hostUsers",
)  # fmt: skip
_CONTAINER_KEPT = (
    "name", "image", "imagePullPolicy", "command", "workingDir", "env", "envFrom", "resources", "volumeMounts",
    "volumeDevices", "securityContext",
)  # fmt: skip
_ONE_POD_ONLY = "ReadWriteOncePod"
_ONE_NODE_ONLY = "ReadWriteOnce"
GRACE = 3  # seconds


@dataclass(frozen=True)
class RunNames(SessionNames):
    """The names of one `run`; its objects are no intercept's."""

    @property
    def labels(self) -> dict[str, str]:
        """See SessionNames."""
        return {MANAGED_BY: RUN, SESSION_ANNOTATION: self.session}


@dataclass(frozen=True, slots=True)
class Beside:
    """The pod to be created, and what is different about it."""

    pod: Object
    notes: tuple[str, ...]


def original(workload: Object) -> Object:
    """The workload as it is meant, also while somebody intercepts it."""
    return restore(workload).workload if record_of(workload) is not None else workload


def claims_of(workload: Object) -> list[str]:
    """The names of the PersistentVolumeClaims that its pods use; of an ordered set those of its first pod."""
    volumes = workload["spec"]["template"]["spec"].get("volumes") or []
    named = [item["persistentVolumeClaim"]["claimName"] for item in volumes if "persistentVolumeClaim" in item]
    return named + list(_set_claims(workload).values())


def beside(
    names: RunNames,
    owner: Object,
    workload: Object,
    plan: SwapPlan,
    *,
    modes: Mapping[str, Sequence[str]],
    node: str | None,
    labels: Mapping[str, str],
) -> Beside:
    """The pod. `modes` are the access modes of its claims, `node` is where a pod of the workload runs, if one does."""
    swapped = swap(original(workload), plan)
    template = swapped["spec"]["template"]
    whole: Object = template["spec"]
    container = next(item for item in whole["containers"] if item["name"] == plan.container)
    notes: list[str] = []
    volumes = _volumes(workload, whole)
    left_out = {
        name for name, volume in volumes.items() if node is not None and _ONE_POD_ONLY in modes.get(_claim(volume), ())
    }
    notes += [
        f"volume {mount['mountPath']} is left out: it may be used by one pod only, which has it"
        for mount in container.get("volumeMounts") or []
        if mount["name"] in left_out
    ]
    mounts = [item for item in container.get("volumeMounts") or [] if item["name"] not in left_out]
    kept = {key: container[key] for key in _CONTAINER_KEPT if key in container} | {"volumeMounts": mounts}
    used = {item["name"] for item in [*mounts, *(container.get("volumeDevices") or [])]}
    spec: Object = {
        **{key: copy.deepcopy(whole[key]) for key in _POD_KEPT if key in whole},
        "containers": [copy.deepcopy(kept)],
        "volumes": [copy.deepcopy(volume) for name, volume in volumes.items() if name in used],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE,
    }
    affinity = _affinity(whole, node if _needs_node(spec["volumes"], modes) else None)
    if affinity:
        spec["affinity"] = affinity
    others = [item["name"] for item in whole["containers"] if item["name"] != plan.container]
    others += [item["name"] for item in whole.get("initContainers") or []]
    if others:
        notes.append(f"its pod has no {', '.join(others)}: only {plan.container} has a counterpart")
    return Beside(_pod(names, owner, template, spec, labels), tuple(notes))


def _pod(names: RunNames, owner: Object, template: Object, spec: Object, labels: Mapping[str, str]) -> Object:
    metadata = template.get("metadata") or {}
    theirs = {k: v for k, v in (metadata.get("labels") or {}).items() if k.startswith(INJECTORS)}
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if not key.startswith(_NOT_KEPT) and key != SWAP_ANNOTATION
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.object,
            "namespace": names.namespace,
            "labels": {**theirs, **labels, **names.labels},
            "annotations": {**annotations, SESSION_ANNOTATION: names.session},
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def _volumes(workload: Object, spec: Object) -> dict[str, Object]:
    """By name, with those that an ordered set makes for each pod: there the first pod's."""
    volumes = {item["name"]: item for item in spec.get("volumes") or []}
    for name, claim in _set_claims(workload).items():
        volumes[name] = {"name": name, "persistentVolumeClaim": {"claimName": claim}}
    return volumes


def _set_claims(workload: Object) -> dict[str, str]:
    if kind_of(workload) is not STATEFUL_SET:
        return {}
    first = int((workload["spec"].get("ordinals") or {}).get("start") or 0)
    templates = workload["spec"].get("volumeClaimTemplates") or []
    names = [item["metadata"]["name"] for item in templates]
    return {name: f"{name}-{workload['metadata']['name']}-{first}" for name in names}


def _claim(volume: Object) -> str:
    return str((volume.get("persistentVolumeClaim") or {}).get("claimName", ""))


def _needs_node(volumes: Sequence[Object], modes: Mapping[str, Sequence[str]]) -> bool:
    """Whether some volume can be attached to one node only: then this pod has to go where it is."""
    return any(_ONE_NODE_ONLY in modes.get(_claim(volume), ()) for volume in volumes)


def _affinity(whole: Object, node: str | None) -> Object:
    """The workload's wishes for nodes, without those that keep its pods apart from each other; and `node` alone if given."""
    theirs = copy.deepcopy((whole.get("affinity") or {}).get("nodeAffinity") or {})
    if node is not None:
        required = theirs.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
        terms = required.setdefault("nodeSelectorTerms", []) or [{}]
        there = {"key": "metadata.name", "operator": "In", "values": [node]}
        required["nodeSelectorTerms"] = [
            {**term, "matchFields": [*(term.get("matchFields") or []), there]} for term in terms
        ]
    return {"nodeAffinity": theirs} if theirs else {}
