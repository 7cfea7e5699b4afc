"""What the kind of a workload and the shape of its pods mean for an intercept; `session.plan` calls it with `preflight`.

Pure. What we could not put back, or not without harm to others, is refused here, before anything changes; what costs
something is told. The README's table of limits says the same to those who have not started yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.swap.exchange import by_hand, ready, waits_for_unready
from interceptor.workload.kinds import DAEMON_SET, POD, STATEFUL_SET, kind_of, replicas_of, title_of
from interceptor.workload.preflight import Findings
from interceptor.workload.revision import is_current
from interceptor.workload.rollout import exchanging, partition_of

Object = dict[str, Any]

_MIB = 2**20
LEAST_MEMORY = 48 * _MIB  # the agent takes some 25 MiB, and what its callers send beside
_UNITS = {"Ki": 2**10, "Mi": _MIB, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "m": 1e-3}


def judge(workload: Object, container: str) -> Findings:
    """Everything that the object itself tells."""
    findings = Findings()
    template = workload["spec"]["template"]["spec"]
    _judge_pod(workload, template, findings)
    kind = kind_of(workload)
    if kind is STATEFUL_SET:
        _judge_partition(workload, findings)
    if kind is POD:
        _judge_bare_pod(workload, template, findings)
    if kind in (STATEFUL_SET, DAEMON_SET) and not by_hand(workload) and exchanging(workload):
        findings.rolling = True
        findings.notes.append(f"a rollout of {title_of(workload)} is under way; waiting for its end")
    _note_gap(workload, template, findings)
    _note_memory(template, container, findings)
    return findings


def judge_pods(workload: Object, revision: str, pods: Sequence[Object]) -> Findings:
    """What only the pods tell: where they would not be exchanged, and where they could not be put back."""
    findings = Findings()
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    if waits_for_unready(workload) and not by_hand(workload):
        _judge_unready(workload, alive, findings)
    if not by_hand(workload):
        return findings
    older = sorted(pod["metadata"]["name"] for pod in alive if not is_current(workload, revision, pod))
    if older and len(older) == len(alive):
        findings.errors.append(
            InterceptorError(
                f"all pods of {title_of(workload)} run an older template; they could not be put back as they are",
                hint="delete them, so that they come back with the current template, then intercept",
            )
        )
    elif older:
        findings.notes.append(f"left alone, for they run an older template: {', '.join(older)}")
    return findings


def _judge_unready(workload: Object, pods: Sequence[Object], findings: Findings) -> None:
    unready = sorted(pod["metadata"]["name"] for pod in pods if not ready(pod))
    if unready and not exchanging(workload):
        title = title_of(workload)
        where = f"-n {workload['metadata'].get('namespace', 'default')}"
        findings.errors.append(
            InterceptorError(
                f"{', '.join(unready)} of {title} not ready: an ordered StatefulSet exchanges no pod until all are",
                hint=f"see kubectl describe pod/{unready[0]} {where}",
            )
        )


def _judge_pod(workload: Object, template: Object, findings: Findings) -> None:
    title = title_of(workload)
    if template.get("hostNetwork"):
        findings.errors.append(
            InterceptorError(
                f"the pods of {title} use their node's network (hostNetwork): the agent's ports would be the node's, "
                "open to whoever reaches it",
                hint="intercept a workload that calls it or is called by it, or take hostNetwork away",
            )
        )
    system = (template.get("os") or {}).get("name") or (template.get("nodeSelector") or {}).get("kubernetes.io/os")
    if system == "windows":
        findings.errors.append(InterceptorError(f"the pods of {title} run on Windows, where the agent doesn't"))


def _judge_partition(workload: Object, findings: Findings) -> None:
    partition, replicas, title = partition_of(workload), replicas_of(workload), title_of(workload)
    if not partition or by_hand(workload):
        return
    if partition >= replicas > 0:
        findings.errors.append(
            InterceptorError(
                f"the partition of {title} is {partition}, so the cluster updates none of its {replicas} pods",
                hint="lower spec.updateStrategy.rollingUpdate.partition to the first pod that may be exchanged",
            )
        )
    elif replicas:
        name = workload["metadata"]["name"]
        stay = name + (f"-0 to {name}-{partition - 1}" if partition > 1 else "-0")
        findings.notes.append(f"partition {partition}: {stay} stay as they are and go on answering in the cluster")


def _judge_bare_pod(workload: Object, template: Object, findings: Findings) -> None:
    title, metadata = title_of(workload), workload["metadata"]
    if (workload.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        findings.errors.append(InterceptorError(f"{title} is over: its containers have ended and take no requests"))
    if "deletionTimestamp" in metadata:
        findings.errors.append(InterceptorError(f"{title} is being deleted"))
    if _host_ports(template):
        findings.errors.append(
            InterceptorError(
                f"{title} holds a port of its node (hostPort), and its stand-in could start only once it is gone: "
                "then nothing would be left to bring it back",
                hint="run it as a Deployment with one replica",
            )
        )
    if metadata.get("finalizers"):
        findings.errors.append(
            InterceptorError(
                f"{title} has finalizers: it can't be taken away and brought back",
                hint="run it as a Deployment with one replica",
            )
        )
    findings.notes.append(
        f"{title} belongs to no workload: a pod of the session stands in for it, and it is created anew at the end, with "
        "another address and empty temporary volumes"
    )


def _note_gap(workload: Object, template: Object, findings: Findings) -> None:
    """Kinds that end a pod before they start the next, with nobody else to answer meanwhile."""
    kind = kind_of(workload)
    gap = "no pod answers for a moment at the start and at the end"
    if kind is STATEFUL_SET and replicas_of(workload) == 1:
        findings.notes.append(f"a StatefulSet ends a pod before it starts the next, and there is one: {gap}")
    if kind is DAEMON_SET:
        rolling = (workload["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        if by_hand(workload) or str(rolling.get("maxSurge", 0)) in ("0", "0%"):
            findings.notes.append(f"a DaemonSet without maxSurge ends a node's pod before it starts the next: {gap}")
    ports = _host_ports(template)
    if ports and kind is not POD:
        findings.notes.append(
            f"its pods hold port {', '.join(map(str, ports))} of their node (hostPort): a new pod starts only where the "
            "old one is gone, as in any of its rollouts"
        )


def _note_memory(template: Object, container: str, findings: Findings) -> None:
    chosen = next(item for item in template["containers"] if item["name"] == container)
    limit = ((chosen.get("resources") or {}).get("limits") or {}).get("memory")
    if limit is not None and quantity(limit) < LEAST_MEMORY:
        findings.notes.append(
            f"container {container} may use {limit} of memory; the agent wants {LEAST_MEMORY // _MIB}Mi"
        )


def _host_ports(template: Object) -> list[int]:
    containers = [*template["containers"], *(template.get("initContainers") or [])]
    return [port["hostPort"] for item in containers for port in item.get("ports") or [] if port.get("hostPort")]


def quantity(text: str | float) -> float:
    """A Kubernetes quantity as a number: 64Mi, 1G, 500m."""
    for unit, factor in _UNITS.items():
        if str(text).endswith(unit):
            return float(str(text).removesuffix(unit)) * factor
    return float(text)
