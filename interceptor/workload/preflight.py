"""What stands in the way of an intercept, and what to know before one; `session` calls it before anything changes.

Blockers are errors to raise (the first is enough); notes are told and nothing more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.kube.errors import Forbidden
from interceptor.swap import AlreadySwapped, record_of

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

_FLUX_KEYS = ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name")


@dataclass
class Findings:
    """`rolling` says that a rollout is under way and worth waiting for."""

    errors: list[InterceptorError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rolling: bool = False


async def look(cluster: Cluster, namespace: str, workload: Object) -> Findings:
    """Judge a workload together with the autoscalers that aim at it."""
    try:
        autoscalers = (await cluster.list(resources.HPAS, namespace)).items
    except Forbidden:
        autoscalers = []  # they only make a note
    return judge(workload, autoscalers)


def judge(workload: Object, autoscalers: Sequence[Object] = ()) -> Findings:
    """The same, from objects in hand."""
    findings = Findings()
    _judge_swap(workload, findings)
    _judge_rollout(workload, findings)
    _note_strategy(workload, findings)
    _note_autoscalers(workload, autoscalers, findings)
    _note_owner(workload, findings)
    return findings


def rollout_condition(workload: Object, kind: str) -> Object:
    """One of a Deployment's conditions, empty where it has none."""
    conditions: list[Object] = (workload.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), {})


def _title(workload: Object) -> str:
    return f"deploy/{workload['metadata']['name']}"


def _judge_swap(workload: Object, findings: Findings) -> None:
    record = record_of(workload)
    if record is not None:
        findings.errors.append(AlreadySwapped(record))


def _judge_rollout(workload: Object, findings: Findings) -> None:
    title, where = _title(workload), f"-n {workload['metadata'].get('namespace', 'default')}"
    status = workload.get("status") or {}
    if workload["spec"].get("paused"):
        findings.errors.append(
            InterceptorError(f"{title} is paused", hint=f"let it go on: kubectl rollout resume {title} {where}")
        )
    if workload["spec"].get("replicas", 1) == 0:
        findings.errors.append(
            InterceptorError(f"{title} is scaled to 0", hint=f"kubectl scale {title} --replicas=1 {where}")
        )
    progressing = rollout_condition(workload, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        findings.errors.append(
            InterceptorError(
                f"the last rollout of {title} is stuck: {progressing.get('message', '')}",
                hint=f"see kubectl rollout status {title} {where}, then finish it or kubectl rollout undo",
            )
        )
        return
    behind = status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0)
    if behind or (progressing and progressing.get("reason") != "NewReplicaSetAvailable"):
        findings.rolling = not findings.errors
        findings.notes.append(f"a rollout of {title} is under way; waiting for its end")
    elif status.get("availableReplicas", 0) < status.get("replicas", 0):
        count = f"{status.get('availableReplicas', 0)} of {status['replicas']}"
        findings.notes.append(f"only {count} pods of {title} are available")


def _note_strategy(workload: Object, findings: Findings) -> None:
    strategy = workload["spec"].get("strategy") or {}
    replicas = workload["spec"].get("replicas", 1)
    if strategy.get("type") == "Recreate":
        findings.notes.append("strategy Recreate: no pod answers for a moment at the start and at the end")
    else:
        unavailable = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
        if replicas and _count(unavailable, replicas) >= replicas:
            findings.notes.append(
                f"maxUnavailable {unavailable} lets all pods go at once: requests may fail at the start and at the end"
            )
    if workload["spec"].get("minReadySeconds"):
        seconds = workload["spec"]["minReadySeconds"]
        findings.notes.append(f"minReadySeconds {seconds}: each step of the rollout takes at least that long")


def _count(value: int | str, replicas: int) -> int:
    """What maxUnavailable allows: a number, or a share rounded down."""
    if isinstance(value, str) and value.endswith("%"):
        return math.floor(int(value[:-1]) * replicas / 100)
    return int(value)


def _note_autoscalers(workload: Object, autoscalers: Sequence[Object], findings: Findings) -> None:
    for autoscaler in autoscalers:
        aim = autoscaler["spec"]["scaleTargetRef"]
        if (aim["kind"], aim["name"]) == ("Deployment", workload["metadata"]["name"]):
            findings.notes.append(
                f"autoscaler {autoscaler['metadata']['name']} may add and remove pods; new ones are intercepted too"
            )


def _note_owner(workload: Object, findings: Findings) -> None:
    metadata = workload["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    managers = {entry.get("manager", "") for entry in metadata.get("managedFields") or []}
    if "argocd.argoproj.io/tracking-id" in annotations or any(
        name.startswith(("argocd-", "argocd.")) for name in managers
    ):
        findings.notes.append("Argo CD owns this workload: with self-heal on, it will take the swap back")
    for key in _FLUX_KEYS:
        if key in labels or key in annotations:
            findings.notes.append("Flux owns this workload: its next reconciliation may take the swap back")
            break
    release = annotations.get("meta.helm.sh/release-name")
    if release:
        findings.notes.append(f"Helm release {release} owns this workload: don't upgrade it meanwhile")
