"""What NetworkPolicies leave of a workload's traffic; `services` lists the two questions.

Only what is plain from the policies: a port that nobody at all may reach, names that can't be resolved, a control plane
out of reach. Who exactly gets through depends on the network plugin.
"""

from __future__ import annotations

from typing import Any

from interceptor.kube import Resource
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.injection import has_proxy
from interceptor.mesh.check.model import PASSED, Failed, Verdict, lines
from interceptor.mesh.check.workload.subject import Subject, declared_ports, name, targets

Object = dict[str, Any]

POLICIES = Resource("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy")
_DNS = 53
_CONTROL = (8086, 8090, 8080)  # destination, policy, identity: where a proxy calls its control plane


async def inbound(facts: Facts, subject: Subject) -> Verdict:
    """Whether each port that a Service leads to is open to somebody."""
    policies = await _policies(facts, subject, "Ingress")
    if not policies:
        return PASSED
    ports = targets(await subject.services(facts), subject.template["spec"])
    shut = [
        str(port) for port in sorted(ports) if not any(_admits(item, "ingress", port, subject) for item in policies)
    ]
    if not shut:
        return PASSED
    names = ", ".join(sorted(map(name, policies)))
    return Failed(
        f"nobody may reach port {', '.join(shut)}: NetworkPolicy {names}",
        "callers wait until they give up; the kubelet's probes still pass",
        f"kubectl describe networkpolicy {name(policies[0])} {subject.flag}",
    )


async def outbound(facts: Facts, subject: Subject) -> Verdict:
    """Whether names can be resolved and, for meshed pods, the control plane be called."""
    policies = await _policies(facts, subject, "Egress")
    if not policies:
        return PASSED
    wrong = []
    if not any(_admits(item, "egress", _DNS, subject) for item in policies):
        wrong.append("* DNS, port 53")
    if any(has_proxy(pod) for pod in await subject.pods(facts)):
        shut = [str(port) for port in _CONTROL if not any(_admits(item, "egress", port, subject) for item in policies)]
        if shut:
            wrong.append(f"* the control plane, port {', '.join(shut)}")
    if not wrong:
        return PASSED
    names = ", ".join(sorted(map(name, policies)))
    return Failed(
        lines(f"NetworkPolicy {names} keeps it from:", wrong),
        "without DNS no name resolves; a proxy without its control plane knows no new addresses",
        f"kubectl describe networkpolicy {name(policies[0])} {subject.flag}",
    )


async def _policies(facts: Facts, subject: Subject, kind: str) -> list[Object]:
    """Those that select the workload's pods for that direction."""
    labels = (subject.template.get("metadata") or {}).get("labels") or {}
    return [
        item
        for item in await facts.list(POLICIES, subject.namespace)
        if kind in (item["spec"].get("policyTypes") or ["Ingress"]) and selected(item["spec"]["podSelector"], labels)
    ]


def selected(selector: Object, labels: dict[str, str]) -> bool:
    """Whether labels match a label selector of the API; an empty one matches all."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for term in selector.get("matchExpressions") or []:
        key, values = term["key"], term.get("values") or []
        holds = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[term["operator"]]
        if not holds:
            return False
    return True


def _admits(policy: Object, direction: str, port: int, subject: Subject) -> bool:
    """Whether any rule lets anybody through to that port."""
    named = {called: number for number, called in declared_ports(subject.template["spec"]) if called}
    return any(rule_admits(rule, port, named) for rule in policy["spec"].get(direction) or [])


def rule_admits(rule: Object, port: int, named: dict[str, int]) -> bool:
    """Whether one rule lets anybody through to a port; `named` are the pod's ports by name."""
    ports = rule.get("ports")
    if not ports:
        return True
    for item in ports:
        first = item.get("port")
        if first is None:
            return True
        number = named.get(first) if isinstance(first, str) else first
        if number is not None and number <= port <= item.get("endPort", number):
            return True
    return False
