"""`services` and `network`: which Services send to the workload, whether they arrive, and who is kept out."""

from __future__ import annotations

from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.model import PASSED, SKIPPED, Category, Check, Failed, Passed, Verdict, lines
from interceptor.mesh.check.workload import network
from interceptor.mesh.check.workload.subject import Subject, declared_ports, name, target_of

Object = dict[str, Any]

_SERVICE = "kubernetes.io/service-name"


def category(subject: Subject) -> Category:
    """All of it."""
    spec = subject.template["spec"]

    async def selected(facts: Facts) -> Verdict:
        services = await subject.services(facts)
        if services:
            return Passed(", ".join(sorted(map(name, services))))
        missed = [
            f"* service {name(item)} selects {text}"
            for item in await facts.list(resources.SERVICES, subject.namespace)
            if (text := _near_miss(item, subject))
        ]
        if not missed:
            return SKIPPED  # not everything is called
        return Failed(
            lines("No Service sends to it, but some come near:", missed),
            "callers of that Service reach nobody, or somebody else",
            f"kubectl edit service {missed[0].split()[2]} {subject.flag}",
        )

    async def ports(facts: Facts) -> Verdict:
        declared = declared_ports(spec)
        wrong = []
        for service in await subject.services(facts):
            for port in service["spec"].get("ports") or []:
                number = target_of(port, spec)
                if number is None:
                    wrong.append(f"* service {name(service)} port {port['port']}: no port named {port['targetPort']!r}")
                elif declared and number not in [item for item, _ in declared]:
                    has = ", ".join(str(item) for item, _ in declared)
                    wrong.append(f"* service {name(service)} port {port['port']}: target {number}, the app has {has}")
        if not wrong:
            return PASSED
        return Failed(
            lines("Some Services lead to ports that the pods don't have:", wrong),
            "their callers are refused",
            f"kubectl edit service {wrong[0].split()[2]} {subject.flag}",
        )

    async def endpoints(facts: Facts) -> Verdict:
        slices = await facts.list(resources.ENDPOINT_SLICES, subject.namespace)
        wrong = []
        for service in await subject.services(facts):
            own = [
                endpoint
                for item in slices
                if (item["metadata"].get("labels") or {}).get(_SERVICE) == name(service)
                for endpoint in item.get("endpoints") or []
            ]
            ready = [item for item in own if (item.get("conditions") or {}).get("ready")]
            if not ready:
                wrong.append(f"* service {name(service)}: none of {len(own)} endpoints is ready")
            elif len(ready) < len(own):
                names = [str((item.get("targetRef") or {}).get("name")) for item in own if item not in ready]
                wrong.append(f"* service {name(service)}: not ready: {', '.join(names)}")
        if not wrong:
            return PASSED
        return Failed(
            lines("Some endpoints are not ready:", wrong),
            "callers get fewer pods, or none",
            f"kubectl get endpointslices -l {_SERVICE}={wrong[0].split()[2].rstrip(':')} {subject.flag}",
        )

    async def inbound(facts: Facts) -> Verdict:
        return await network.inbound(facts, subject)

    async def outbound(facts: Facts) -> Verdict:
        return await network.outbound(facts, subject)

    return Category(
        "services",
        (
            Check("a Service sends to it", selected),
            Check("Services lead to ports that the pods have", ports),
            Check("endpoints are ready", endpoints),
            Check("no NetworkPolicy keeps callers out", inbound),
            Check("no NetworkPolicy keeps it from DNS and its control plane", outbound),
        ),
        "own",
    )


def _near_miss(service: Object, subject: Subject) -> str:
    """What a Service selects, if it was probably meant for this workload."""
    selector = service["spec"].get("selector") or {}
    labels = (subject.template.get("metadata") or {}).get("labels") or {}
    if not selector:
        return ""
    shared = [key for key, value in selector.items() if labels.get(key) == value]
    if not shared and name(service) != name(subject.workload):
        return ""
    asked = ",".join(f"{key}={value}" for key, value in selector.items())
    have = ",".join(f"{key}={labels.get(key, '(none)')}" for key in selector)
    return f"{asked}, the pods have {have}"
