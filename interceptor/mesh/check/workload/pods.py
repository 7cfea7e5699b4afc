"""`workload`: its pods run, are ready, don't restart, their probes fit, and the app listens where callers arrive."""

from __future__ import annotations

import datetime
from typing import Any

from interceptor.kube import ExecFailed, resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.identity import now
from interceptor.mesh.check.model import PASSED, SKIPPED, Category, Check, Failed, Verdict, lines
from interceptor.mesh.check.workload.listening import LOOPBACK_ONLY, UNHEARD, listeners
from interceptor.mesh.check.workload.subject import (
    Subject,
    app_containers,
    declared_ports,
    name,
    probe_port,
    probes,
    targets,
)
from interceptor.mesh.podstatus import pod_status
from interceptor.workload.preflight import rollout_condition

Object = dict[str, Any]

LATELY = datetime.timedelta(hours=1)
ANSWER = 4.0  # seconds for a command in a pod
_MOST_EVENTS = 5
_FINE = ("Running", "Completed")
# Of its Service, which mostly has its name: controllers that meet while they write say so, and try again.
_OF_A_SERVICE = ("Endpoints", "EndpointSlice", "Service")


def category(subject: Subject) -> Category:
    """All of it."""

    async def running(facts: Facts) -> Verdict:
        pods = await subject.pods(facts)
        if not pods:
            return _no_pods(subject)
        stuck = [f"* {name(pod)}: {word}{_because(pod)}" for pod in pods if (word := pod_status(pod)) not in _FINE
                 and not _merely_unready(pod)]  # fmt: skip
        if not stuck:
            return PASSED
        return Failed(
            lines("Some pods don't run:", stuck),
            "fewer pods answer than were asked for",
            f"kubectl describe pod {stuck[0].split()[1].rstrip(':')} {subject.flag}",
        )

    async def ready(facts: Facts) -> Verdict:
        unready = [pod for pod in await subject.pods(facts) if _merely_unready(pod)]
        if not unready:
            return PASSED
        events = await facts.list(resources.EVENTS, subject.namespace)
        told = [f"* {name(pod)}: {_probe_words(pod, events)}" for pod in unready]
        return Failed(
            lines("Some pods run, but are not ready:", told),
            "Services send them nothing",
            f"kubectl describe pod {name(unready[0])} {subject.flag}",
        )

    async def restarts(facts: Facts) -> Verdict:
        told = [
            f"* {name(pod)}, container {state['name']}: {state['restartCount']} restarts, last {ending}"
            for pod in await subject.pods(facts)
            for state in _states(pod)
            if (ending := _recent_ending(state))
        ]
        if not told:
            return PASSED
        return Failed(
            lines("Some containers restarted within the last hour:", told),
            "requests under way at that moment failed",
            f"kubectl logs {told[0].split()[1].rstrip(',')} --previous -c CONTAINER {subject.flag}",
        )

    async def probed(_: Facts) -> Verdict:
        spec = subject.template["spec"]
        wrong = []
        for container, kind, probe in probes(spec):
            aim = probe.get("httpGet") or probe.get("tcpSocket") or {}
            if isinstance(aim.get("port"), str) and probe_port(container, probe) is None:
                wrong.append(f"* {kind} of container {container['name']}: it has no port named {aim['port']!r}")
        if not wrong:
            return PASSED
        why = "the kubelet can't ask it: the pod is never ready, or restarted again and again"
        return Failed(lines("Some probes lead nowhere:", wrong), why, f"kubectl edit {subject.title} {subject.flag}")

    async def rolled_out(_: Facts) -> Verdict:
        progressing = rollout_condition(subject.workload, "Progressing")
        failure = rollout_condition(subject.workload, "ReplicaFailure")
        if failure.get("status") == "True":
            return Failed(f"its pods can't be created: {failure.get('message', '')}", "the old ones, if any, serve on",
                          f"kubectl describe {subject.title} {subject.flag}")  # fmt: skip
        if progressing.get("reason") == "ProgressDeadlineExceeded":
            return Failed(f"its last rollout is stuck: {progressing.get('message', '')}", "old and new pods serve together",
                          f"kubectl rollout status {subject.title} {subject.flag}")  # fmt: skip
        return PASSED

    async def quiet(facts: Facts) -> Verdict:
        since = {name(subject.workload): "", **{name(pod): _ready_since(pod) for pod in await subject.pods(facts)}}
        found = [
            f"* {event['involvedObject']['name']}: {event.get('reason')}: {event.get('message')}"
            for event in await facts.list(resources.EVENTS, subject.namespace)
            if event.get("type") == "Warning"
            and event["involvedObject"]["name"] in since
            and event["involvedObject"].get("kind") not in _OF_A_SERVICE
            and _lately(_told(event))
            and _told(event) > since[event["involvedObject"]["name"]]
        ]
        if not found:
            return PASSED
        return Failed(
            lines("Warnings of the last hour:", found[-_MOST_EVENTS:]),
            "the cluster had trouble with it",
            f"kubectl events --for {subject.title} {subject.flag}",
        )

    async def listening(facts: Facts) -> Verdict:
        return await _listening(facts, subject)

    return Category(
        "workload",
        (
            Check("pods are running", running),
            Check("pods are ready", ready),
            Check("the rollout is complete", rolled_out),
            Check("containers have not restarted lately", restarts, warning=True),
            Check("probes lead to ports of the container", probed),
            Check("the app listens where callers arrive", listening),
            Check("no warnings in the events", quiet, warning=True),
        ),
        "own",
    )


def _no_pods(subject: Subject) -> Verdict:
    if subject.workload["spec"].get("replicas", 1) == 0:
        return Failed(
            f"{subject.title} is scaled to 0",
            "nobody answers",
            f"kubectl scale {subject.title} --replicas=1 {subject.flag}",
        )
    return Failed(f"{subject.title} has no pods", "nobody answers", f"kubectl describe {subject.title} {subject.flag}")


def _states(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _merely_unready(pod: Object) -> bool:
    """It runs, all its containers do, and still it is not ready."""
    conditions = {item["type"]: item["status"] for item in (pod.get("status") or {}).get("conditions") or []}
    started = all("running" in (state.get("state") or {}) or _done(state) for state in _states(pod))
    return pod["status"].get("phase") == "Running" and started and conditions.get("Ready") != "True"


def _done(state: Object) -> bool:
    return ((state.get("state") or {}).get("terminated") or {}).get("exitCode") == 0


def _because(pod: Object) -> str:
    for state in _states(pod):
        waiting = (state.get("state") or {}).get("waiting") or {}
        if waiting.get("message"):
            return f": {waiting['message']}"
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("reason") == "Unschedulable":
            return f": {condition.get('message', '')}"
    return ""


def _probe_words(pod: Object, events: list[Object]) -> str:
    waiting = [state["name"] for state in _states(pod) if not state.get("ready") and not _done(state)]
    own = [event for event in events if event["involvedObject"].get("uid") == pod["metadata"]["uid"]]
    failed = [event for event in own if event.get("reason") == "Unhealthy"]
    said = max(failed, key=_told)["message"].strip() if failed else "its readiness probe has not succeeded"
    return f"container {', '.join(waiting)}: {said}" if waiting else said


def _ready_since(pod: Object) -> str:
    """When a pod that is ready became it: its troubles before are over. Empty where it isn't."""
    conditions = {item["type"]: item for item in (pod.get("status") or {}).get("conditions") or []}
    ready = conditions.get("Ready") or {}
    return str(ready.get("lastTransitionTime") or "") if ready.get("status") == "True" else ""


def _recent_ending(state: Object) -> str:
    ended = (state.get("lastState") or {}).get("terminated") or {}
    if not ended or not _lately(ended.get("finishedAt") or ""):
        return ""
    return f"{ended.get('reason', 'ended')} (exit status {ended.get('exitCode', '?')})"


def _told(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _lately(stamp: str) -> bool:
    return bool(stamp) and now() - datetime.datetime.fromisoformat(stamp) < LATELY


async def _listening(facts: Facts, subject: Subject) -> Verdict:
    """Ask the kernel of one ready pod which addresses the app listens on."""
    spec = subject.template["spec"]
    wanted = targets(await subject.services(facts), spec) | {number for number, _ in declared_ports(spec)}
    pods = [pod for pod in await subject.pods(facts) if pod_status(pod) == "Running" and pod["spec"].get("nodeName")]
    if not wanted or not pods:
        return SKIPPED
    pod = pods[0]
    container = app_containers(pod["spec"])[0]["name"]
    command = ["cat", "/proc/net/tcp", "/proc/net/tcp6"]
    try:
        result = await facts.cluster.exec(subject.namespace, name(pod), container, command, timeout=ANSWER)
    except ExecFailed:
        return SKIPPED  # an image without cat
    heard = listeners(result.stdout.decode(errors="replace"))
    if not heard:
        return SKIPPED
    wrong = {port: heard.get(port, UNHEARD) for port in sorted(wanted)}
    local = [port for port, where in wrong.items() if where is LOOPBACK_ONLY]
    if local:
        ports = ", ".join(map(str, local))
        return Failed(
            f"in pod {name(pod)} the app listens on 127.0.0.1 only: port {ports}",
            "callers reach the pod's address: they get 502 through a mesh and a refused connection without one, "
            "while port-forward works",
            "let the app listen on 0.0.0.0",
        )
    unheard = [port for port, where in wrong.items() if where is UNHEARD]
    if unheard:
        return Failed(
            f"in pod {name(pod)} nothing listens on port {', '.join(map(str, unheard))}",
            "who is sent there is refused",
            f"kubectl logs {name(pod)} -c {container} {subject.flag}",
        )
    return PASSED
