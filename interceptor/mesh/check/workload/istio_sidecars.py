"""`mesh`, under Istio: the workload's sidecars: there, ready, current, and told what they should be told."""

from __future__ import annotations

from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check import istio
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import MUTATING
from interceptor.mesh.check.model import PASSED, SKIPPED, Category, Check, Failed, Verdict, lines
from interceptor.mesh.check.workload.meshed import not_ready, passed_by
from interceptor.mesh.check.workload.subject import Subject, name
from interceptor.mesh.podstatus import pod_status

Object = dict[str, Any]

_EXCLUDE = "traffic.sidecar.istio.io/excludeInboundPorts"
_TAG = "istio.io/tag"
_OF_NAMESPACE = {istio.INJECTION: ("enabled", "disabled")}
_OF_POD = {istio.INJECT: ("true", "false")}


def category(subject: Subject) -> Category:
    """All of it."""
    restart = f"kubectl rollout restart {subject.title} {subject.flag}"

    async def meshed(facts: Facts) -> Verdict:
        namespace = await facts.find(resources.NAMESPACES, None, subject.namespace) or {"metadata": {}}
        lacking = [
            f"* {name(pod)}"
            for pod in await subject.pods(facts)
            if not istio.has_proxy(pod) and istio.wanted(namespace, pod) and pod_status(pod) == "Running"
        ]
        if not lacking:
            return PASSED
        return Failed(
            lines("Some pods have no sidecar, although they should:", lacking),
            "their traffic is neither encrypted nor measured nor under the mesh's policies; "
            "the injector was down, not trusted, or not yet asked for when they started",
            restart,
        )

    async def settings(facts: Facts) -> Verdict:
        namespace = await facts.find(resources.NAMESPACES, None, subject.namespace) or {"metadata": {}}
        wrong = [*_meaningless(namespace["metadata"], subject), *await _revision(facts, namespace["metadata"], subject)]
        wrong += await passed_by(facts, subject, _EXCLUDE)
        if not wrong:
            return PASSED
        return Failed(
            lines("Some settings of the mesh don't do what they seem to:", wrong),
            "pods start without a sidecar, or ports without encryption, figures and policies",
            f"kubectl get ns {subject.namespace} --show-labels, and kubectl edit {subject.title} {subject.flag}",
        )

    async def ready(facts: Facts) -> Verdict:
        pods = [pod for pod in await subject.pods(facts) if istio.has_proxy(pod)]
        if not pods:
            return SKIPPED
        unready = [name(pod) for pod in pods if not istio.proxy_ready(pod)]
        return not_ready("sidecars", unready, istio.PROXY, subject)

    async def current(facts: Facts) -> Verdict:
        pods = [pod for pod in await subject.pods(facts) if istio.has_proxy(pod)]
        if not pods:
            return SKIPPED
        verdict = await istio.outdated(facts, pods)
        return Failed(verdict.reason, verdict.why, restart) if isinstance(verdict, Failed) else verdict

    return Category(
        "mesh",
        (
            Check("pods have the proxy they should have", meshed),
            Check("the mesh's settings do what they seem to", settings, warning=True),
            Check("its proxies are ready", ready),
            Check("its proxies are up-to-date", current, warning=True),
        ),
        "own",
    )


def _meaningless(namespace: Object, subject: Subject) -> list[str]:
    """Values that the injector takes for something else than who wrote them."""
    metadata = subject.template.get("metadata") or {}
    given = [(key, (namespace.get("labels") or {}).get(key), known) for key, known in _OF_NAMESPACE.items()]
    given += [(key, (metadata.get(part) or {}).get(key), known)
              for key, known in _OF_POD.items() for part in ("labels", "annotations")]  # fmt: skip
    return [
        f'* {key}: "{value}" means nothing' for key, value, known in given if value is not None and value not in known
    ]


async def _revision(facts: Facts, namespace: Object, subject: Subject) -> list[str]:
    """A revision that no injector serves, or one that `istio-injection` hides."""
    labels = namespace.get("labels") or {}
    own = ((subject.template.get("metadata") or {}).get("labels") or {}).get(istio.REVISION)
    asked = own or labels.get(istio.REVISION)
    if asked is None:
        return []
    if istio.INJECTION in labels and own is None:
        return [f"* {istio.REVISION}: {asked} does nothing where the namespace has {istio.INJECTION} too"]
    served = set()
    for item in await facts.list(MUTATING, None):
        marked = item["metadata"].get("labels") or {}
        served |= {marked.get(istio.REVISION, ""), marked.get(_TAG, "")}
    return [] if asked in served else [f"* {istio.REVISION}: no injector serves the revision {asked}"]
