"""`mesh`: the workload's proxies: there, ready, current, trusted, in touch; and what its callers' proxies believe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd import injection, proxies, proxy_state, versions
from interceptor.mesh.check.linkerd.beyond import at_once
from interceptor.mesh.check.linkerd.scope import PROXY, environment, proxy_of
from interceptor.mesh.check.model import PASSED, SKIPPED, Category, Check, Failed, Verdict, lines
from interceptor.mesh.check.workload import callers
from interceptor.mesh.check.workload.subject import Subject, name, targets
from interceptor.mesh.podstatus import pod_status

Object = dict[str, Any]

_SKIP = "config.linkerd.io/skip-inbound-ports"


def category(subject: Subject) -> Category:
    """All of it."""
    restart = f"kubectl rollout restart {subject.title} {subject.flag}"
    scope = subject.scope

    async def meshed(facts: Facts) -> Verdict:
        namespace = await facts.find(resources.NAMESPACES, None, subject.namespace)
        lacking = injection.unmeshed(namespace, await subject.pods(facts))
        if not lacking:
            return PASSED
        told = [f"* {name(pod)}{f': {text}' if text else ''}" for pod, text in lacking]
        obstacle = any(text for _, text in lacking)
        return Failed(
            lines("Some pods have no proxy, although they should:", told),
            "their traffic is neither encrypted nor measured nor under the mesh's policies"
            + ("" if obstacle else "; the injector was down or not trusted when they started"),
            f"kubectl edit {subject.title} {subject.flag}" if obstacle else restart,
        )

    async def settings(facts: Facts) -> Verdict:
        namespace = await facts.find(resources.NAMESPACES, None, subject.namespace)
        wrong = [
            f'* {injection.INJECT}: "{value}" means nothing'
            for item in (namespace, {"metadata": subject.template.get("metadata") or {}})
            if item is not None and (value := injection.misspelt(item))
        ]
        wrong += await passed_by(facts, subject, _SKIP)
        if not wrong:
            return PASSED
        why = "what is skipped is neither encrypted nor measured"
        return Failed(lines("Some settings of the mesh don't do what they seem to:", wrong), why,
                      f"kubectl edit {subject.title} {subject.flag}")  # fmt: skip

    async def own(facts: Facts) -> list[Object]:
        return [pod for pod in await subject.pods(facts) if injection.has_proxy(pod)]

    async def alive(facts: Facts) -> list[Object]:
        found = [pod for pod in await own(facts) if pod_status(pod) == "Running" and proxies.proxy_ready(pod)]
        return proxy_state.chosen([pod for pod in found if pod["spec"].get("nodeName")])

    async def ready(facts: Facts) -> Verdict:
        unready = [name(pod) for pod in await own(facts) if not proxies.proxy_ready(pod) and not _over(pod)]
        return not_ready("proxies", unready, PROXY, subject)

    async def current(facts: Facts) -> Verdict:
        pods = await own(facts)
        if not pods:
            return SKIPPED
        return versions.outdated(pods, await versions.latest(facts, scope))

    async def anchors(facts: Facts) -> Verdict:
        verdict = await proxies.stale(facts, scope, await own(facts), subject.namespace)
        if not isinstance(verdict, Failed):
            return verdict
        return Failed(verdict.reason, "sooner or later they and the others refuse each other's certificates", restart)

    async def asked(
        facts: Facts, problem: Callable[[Object], Awaitable[str]], title: str, why: str, then: str
    ) -> Verdict:
        pods = await alive(facts)
        if not pods:
            return SKIPPED
        texts = await at_once(problem, pods)
        wrong = [f"* {name(pod)}: {text}" for pod, text in zip(pods, texts, strict=True) if text]
        return Failed(lines(title, wrong), why, then) if wrong else PASSED

    async def certified(facts: Facts) -> Verdict:
        problem = partial(proxy_state.certificate_problem, facts, scope)
        title = "Some proxies show a bad certificate:"
        return await asked(facts, problem, title, "meshed callers refuse them, or are refused", restart)

    async def connected(facts: Facts) -> Verdict:
        return await asked(
            facts,
            partial(proxy_state.control_problem, facts),
            "Some proxies have lost their control plane:",
            "calls to what they know go on, calls to new addresses hang, and replaced pods answer 503",
            f"kubectl get pods -n {scope.namespace} -l linkerd.io/control-plane-component=destination",
        )

    async def callers_connected(facts: Facts) -> Verdict:
        return await callers.connected(facts, subject)

    async def callers_follow(facts: Facts) -> Verdict:
        return await callers.follow(facts, subject)

    return Category(
        "mesh",
        (
            Check("pods have the proxy they should have", meshed),
            Check("the mesh's settings do what they seem to", settings, warning=True),
            Check("its proxies are ready", ready),
            Check("its proxies are up-to-date", current, warning=True),
            Check("its proxies trust the current anchors", anchors),
            Check("its proxies show a valid certificate", certified),
            Check("its proxies reach the control plane", connected),
            Check("its callers' proxies reach the control plane", callers_connected),
            Check("its callers follow the Service's present port", callers_follow),
        ),
        "own",
    )


def not_ready(what: str, unready: list[str], container: str, subject: Subject) -> Verdict:
    """On pods whose container of the mesh is not ready."""
    if not unready:
        return PASSED
    return Failed(
        lines(f"Some {what} are not ready:", [f"* {item}" for item in unready]),
        "their pods get no requests through Services",
        f"kubectl logs {unready[0]} -c {container} {subject.flag}",
    )


async def passed_by(facts: Facts, subject: Subject, annotation: str) -> list[str]:
    """What is wrong with an annotation that leads ports past the proxy."""
    annotations = (subject.template.get("metadata") or {}).get("annotations") or {}
    skipped = _ports(annotations.get(annotation, ""))
    return [
        f"* {annotation}: port {port} is one that Services lead to"
        for port in sorted(targets(await subject.services(facts), subject.template["spec"]))
        if any(low <= port <= high for low, high in skipped)
    ]


def _ports(text: str) -> list[tuple[int, int]]:
    """A list of ports and ranges in an annotation; what is neither says nothing."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        low, _, high = part.partition("-")
        if low.isdigit() and (high or low).isdigit():
            found.append((int(low), int(high or low)))
    return found


def default_policy(pod: Object) -> str:
    """What a proxy does with requests that no Server covers."""
    proxy = proxy_of(pod)
    return environment(proxy).get("LINKERD2_PROXY_INBOUND_DEFAULT_POLICY", "") if proxy is not None else ""


def _over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
