"""What the proxies of a workload's callers believe about it; `meshed` lists the two questions.

A caller's proxy keeps what it was told of a Service for as long as it uses it. So it may go on after its control plane is
gone, and a live lookup never follows a changed targetPort. Both show only in the caller's own metrics.
"""

from __future__ import annotations

from typing import Any

from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd import injection, proxies, proxy_state
from interceptor.mesh.check.linkerd.beyond import at_once
from interceptor.mesh.check.model import PASSED, SKIPPED, Failed, Verdict, lines
from interceptor.mesh.check.workload.subject import Subject, name, targets
from interceptor.mesh.exposition import Sample
from interceptor.mesh.podstatus import pod_status

Object = dict[str, Any]

_CONNECTIONS = "tcp_open_connections"


async def connected(facts: Facts, subject: Subject) -> Verdict:
    """Callers without a control plane, each with what its calls to this workload do now."""
    some = await _callers(facts, subject)
    addresses = {pod["status"].get("podIP") for pod in await subject.pods(facts)}

    async def problem(pod: Object) -> str:
        if "destination" not in await proxy_state.lost_control(facts, pod):
            return ""
        known = {sample.labels.get("target_ip") for sample in await _connections(facts, subject, pod)}
        if not known:
            return "its calls hang: it does not know this Service, and nobody tells it"
        if known <= addresses:
            return "its calls work, from what it was told before; when the pods change they will answer 503"
        return "its calls answer 503 at once: the pods it knows are gone"

    return await _told(
        facts,
        some,
        problem,
        "Some callers' proxies have lost their control plane:",
        "what they do not know already they never learn",
        f"kubectl get pods -n {subject.scope.namespace} -l linkerd.io/control-plane-component=destination",
    )


async def follow(facts: Facts, subject: Subject) -> Verdict:
    """Callers whose proxies still send to a port that the Service led to before."""
    some = await _callers(facts, subject)
    addresses = {pod["status"].get("podIP") for pod in await subject.pods(facts)}
    present = targets(await subject.services(facts), subject.template["spec"])
    if not present:
        return SKIPPED

    async def problem(pod: Object) -> str:
        old = {
            int(sample.labels["target_port"])
            for sample in await _connections(facts, subject, pod)
            if sample.value > 0 and sample.labels.get("target_ip") in addresses
            and sample.labels.get("target_port", "").isdigit()
        } - present  # fmt: skip
        return f"still sends to port {', '.join(map(str, sorted(old)))}" if old else ""

    now = ", ".join(map(str, sorted(present)))
    return await _told(
        facts,
        some,
        problem,
        f"Some callers don't follow the Service, which leads to port {now}:",
        "a proxy with a live lookup never hears of a changed targetPort: these callers stay with the old port for good",
        f"kubectl rollout restart of the callers, or of {subject.title} {subject.flag}",
    )


async def _callers(facts: Facts, subject: Subject) -> list[Object]:
    """Other meshed pods of the namespace whose proxy can be asked."""
    own = {name(pod) for pod in await subject.pods(facts)}
    return proxy_state.chosen(
        [
            pod
            for pod in await subject.neighbours(facts)
            if name(pod) not in own
            and injection.has_proxy(pod)
            and pod["spec"].get("nodeName")
            and pod_status(pod) == "Running"
            and proxies.proxy_ready(pod)
        ]
    )


async def _connections(facts: Facts, subject: Subject, pod: Object) -> list[Sample]:
    """A caller's connections to this workload's Services, by its own account."""
    names = {name(service) for service in await subject.services(facts)}
    return [
        sample
        for sample in await proxy_state.find_samples(facts, pod, _CONNECTIONS)
        if sample.labels.get("direction") == "outbound"
        and sample.labels.get("dst_service") in names
        and sample.labels.get("dst_namespace") == subject.namespace
    ]


async def _told(facts: Facts, some: list[Object], problem: Any, title: str, why: str, then: str) -> Verdict:
    if not some:
        return SKIPPED
    # A caller that gives no metrics is no finding about this workload.
    texts = await at_once(problem, some, silence=False)
    wrong = [f"* {name(pod)}: {text}" for pod, text in zip(some, texts, strict=True) if text]
    return Failed(lines(title, wrong), why, then) if wrong else PASSED
