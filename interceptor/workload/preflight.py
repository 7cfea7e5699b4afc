"""What stands in the way of an intercept, and what to know before one; `session` calls it before anything changes.

`look` reads what else is there (autoscalers, disruption budgets), `judge` is pure. Errors are to be raised (the first is
enough), notes are told and nothing more. Whoever will take the swap back (`owners`) is told, not refused: the session
then ends in order, with nothing half done, and many an owner never looks again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.kube.errors import ApiError, Forbidden, NotFound
from interceptor.swap import AlreadySwapped, record_of
from interceptor.workload.kinds import grace_of, replicas_of, title_of
from interceptor.workload.owners import owners
from interceptor.workload.selectors import label_selector_matches

if TYPE_CHECKING:
    from interceptor.kube import Cluster
    from interceptor.kube.resources import Resource

Object = dict[str, Any]

AGENT_START = 2  # seconds from the end of the last pod to the first agent's answer, measured


@dataclass
class Findings:
    """`rolling` says that a rollout is under way and worth waiting for."""

    errors: list[InterceptorError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rolling: bool = False


@dataclass
class Surroundings:
    """What else has a say in a workload's pods; `unseen` are notes on what could not be read."""

    autoscalers: Sequence[Object] = ()
    budgets: Sequence[Object] = ()
    unseen: list[str] = field(default_factory=list)


async def look(cluster: Cluster, namespace: str) -> Surroundings:
    """Read them all at once; what can't be read becomes a note, for notes are all they are good for."""
    found = Surroundings()

    async def read(resource: Resource, title: str) -> Sequence[Object]:
        try:
            return (await cluster.list(resource, namespace)).items
        except NotFound:
            return ()  # a cluster without this API has none of them
        except Forbidden as error:
            found.unseen.append(f"could not look at {title}: missing right {error.verb} {error.resource}")
        except ApiError as error:
            found.unseen.append(f"could not look at {title}: {error.message}")
        return ()

    async with asyncio.TaskGroup() as group:
        autoscalers = group.create_task(read(resources.HPAS, "autoscalers"), name="read autoscalers")
        budgets = group.create_task(read(resources.PDBS, "disruption budgets"), name="read disruption budgets")
    found.autoscalers, found.budgets = autoscalers.result(), budgets.result()
    return found


def judge(
    workload: Object, around: Surroundings | None = None, pods: Sequence[Object] = (), *, hold: float = 0.0
) -> Findings:
    """Everything that the objects in hand tell; `hold` is how long the agents wait for the local process."""
    around = around or Surroundings()
    findings = Findings()
    _judge_swap(workload, findings)
    _judge_rollout(workload, findings)
    _note_downtime(workload, around.budgets, pods, findings)
    _note_pace(workload, hold, findings)
    _note_autoscalers(workload, around.autoscalers, findings)
    findings.notes += [*owners(workload), *around.unseen]
    return findings


def rollout_condition(workload: Object, kind: str) -> Object:
    """One of a workload's conditions, empty where it has none."""
    conditions: list[Object] = (workload.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), {})


def _judge_swap(workload: Object, findings: Findings) -> None:
    record = record_of(workload)
    if record is not None:
        findings.errors.append(AlreadySwapped(record))


def _judge_rollout(workload: Object, findings: Findings) -> None:
    title, where = title_of(workload), f"-n {workload['metadata'].get('namespace', 'default')}"
    status = workload.get("status") or {}
    if "deletionTimestamp" in workload["metadata"]:
        findings.errors.append(InterceptorError(f"{title} is being deleted"))
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
    if behind or _between_pods(workload) or (progressing and progressing.get("reason") != "NewReplicaSetAvailable"):
        findings.rolling = not findings.errors
        findings.notes.append(f"a rollout of {title} is under way; waiting for its end")
    elif status.get("availableReplicas", 0) < status.get("replicas", 0):
        count = f"{status.get('availableReplicas', 0)} of {status['replicas']}"
        findings.notes.append(f"only {count} pods of {title} are available")


def _between_pods(workload: Object) -> bool:
    """With `Recreate`, the old pods are ending and no new one is made yet. A Deployment then calls itself complete."""
    if workload.get("kind", "Deployment") != "Deployment" or not replicas_of(workload):
        return False
    status = workload.get("status") or {}
    refused = rollout_condition(workload, "ReplicaFailure").get("status") == "True"
    return "observedGeneration" in status and not status.get("replicas") and not refused


def _note_downtime(workload: Object, budgets: Sequence[Object], pods: Sequence[Object], findings: Findings) -> None:
    """A Deployment that may end all its pods before the next ones serve. Other kinds: `shapes`."""
    strategy, replicas = workload["spec"].get("strategy") or {}, replicas_of(workload)
    if strategy.get("type") == "Recreate":
        why = "strategy Recreate"
    elif strategy and replicas and (unavailable := _may_be_unavailable(strategy, replicas)) >= replicas:
        share = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
        why = f"maxUnavailable {share} lets all pods go at once" if unavailable else ""
    else:
        return
    grace, start = grace_of(workload["spec"]["template"]), startup_seconds(pods)
    ready = (
        "until they are ready"
        if start is None
        else f"about {start + 1} s until they are ready (as long as the last time)"
    )
    note = (
        f"{why}: no pod answers at the start, for {AGENT_START} s and what the pods need to end (at most {grace:g} s), "
        f"and at the end, {ready}"
    )
    names = [budget["metadata"]["name"] for budget in budgets if _covers(budget, workload)]
    if names:
        note += f"; a disruption budget ({', '.join(names)}) doesn't hold for rollouts"
    findings.notes.append(note)


def _may_be_unavailable(strategy: Object, replicas: int) -> int:
    """How many pods a rolling update may take away first: the API's own reckoning, with its defaults."""
    rolling = strategy.get("rollingUpdate") or {}
    surge = _count(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    unavailable = _count(rolling.get("maxUnavailable", "25%"), replicas, math.floor)
    return unavailable if surge or unavailable else 1


def _count(value: int | str, replicas: int, rounded: Any) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return int(rounded(int(value[:-1]) * replicas / 100))
    return int(value)


def startup_seconds(pods: Sequence[Object]) -> int | None:
    """What the ready pods took from their start to readiness, the quickest of them: later changes only make it longer."""
    took = []
    for pod in pods:
        status = pod.get("status") or {}
        ready: Object = next((item for item in status.get("conditions") or [] if item["type"] == "Ready"), {})
        if ready.get("status") == "True" and ready.get("lastTransitionTime") and status.get("startTime"):
            times = [datetime.fromisoformat(text) for text in (status["startTime"], ready["lastTransitionTime"])]
            took.append(math.ceil((times[1] - times[0]).total_seconds()))
    return min(took, default=None)


def _covers(budget: Object, workload: Object) -> bool:
    labels = (workload["spec"]["template"].get("metadata") or {}).get("labels") or {}
    return label_selector_matches((budget.get("spec") or {}).get("selector"), labels)


def _note_pace(workload: Object, hold: float, findings: Findings) -> None:
    least = workload["spec"].get("minReadySeconds") or 0
    if least:
        findings.notes.append(f"minReadySeconds {least}: each step of the exchange takes at least that long, both ways")
    deadline = workload["spec"].get("progressDeadlineSeconds")
    if deadline is not None and hold and deadline < hold + least + AGENT_START:
        findings.notes.append(
            f"progressDeadlineSeconds {deadline}: the cluster calls the exchange failed if nothing listens on this machine "
            f"by then; start your process first, or wait for it less with --hold {max(1, deadline - least - AGENT_START)}"
        )


def _note_autoscalers(workload: Object, autoscalers: Sequence[Object], findings: Findings) -> None:
    for autoscaler in autoscalers:
        spec = autoscaler["spec"]
        aim = spec["scaleTargetRef"]
        if (aim["kind"], aim["name"]) == (workload.get("kind", "Deployment"), workload["metadata"]["name"]):
            name, limits = (
                autoscaler["metadata"]["name"],
                f"{spec.get('minReplicas', 1)} to {spec.get('maxReplicas', '?')}",
            )
            findings.notes.append(
                f"autoscaler {name} ({limits} pods) measures the agents meanwhile, not the app; pods that it adds are "
                "served here too"
            )
