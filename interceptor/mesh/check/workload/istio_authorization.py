"""`authorization`, under Istio: who is refused before the app sees a request, by mTLS or by policy.

Istio's order: a DENY that matches refuses; then, if any ALLOW policy is for the workload, one of them must match.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check import istio
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.model import PASSED, SKIPPED, Category, Check, Failed, Passed, Verdict, lines
from interceptor.mesh.check.workload import istio_objects as objects
from interceptor.mesh.check.workload.istio_objects import DISABLE, STRICT
from interceptor.mesh.check.workload.subject import Subject, name, probe_port, probes, target_of, targets

Object = dict[str, Any]

_REWRITE = "sidecar.istio.io/rewriteAppHTTPProbers"
_SHOWN = 5


def category(subject: Subject) -> Category:
    """All of it."""

    async def mode(facts: Facts) -> Verdict:
        said, ports, by = await objects.mtls(facts, subject)
        told = [f"{said}, by {f'PeerAuthentication {by}' if by else 'default'}"]
        told += [f"port {port} {one}" for port, one in sorted(ports.items()) if one != said]
        return Passed("; ".join(told))

    async def agreed(facts: Facts) -> Verdict:
        said, ports, by = await objects.mtls(facts, subject)
        meshed = any(istio.has_proxy(pod) for pod in await subject.pods(facts))
        wrong = []
        for rule in await facts.list(objects.DESTINATION_RULES, subject.namespace):
            for service in await subject.services(facts):
                if not objects.covers(rule["spec"].get("host", ""), name(service), subject.namespace):
                    continue
                for port in service["spec"].get("ports") or []:
                    wanted = _client_tls(rule, port["port"])
                    number = target_of(port, subject.template["spec"])
                    there = ports.get(number, said) if number is not None else said
                    where = f"* DestinationRule {name(rule)}: {wanted} to {name(service)}:{port['port']}"
                    if wanted == DISABLE and there == STRICT and meshed:
                        wrong.append(f"{where}, where PeerAuthentication {by} is STRICT")
                    elif wanted == "ISTIO_MUTUAL" and (there == DISABLE or not meshed):
                        wrong.append(f"{where}, where {'mTLS is off' if meshed else 'no pod has a sidecar'}")
        return _told(
            "Callers are told to speak otherwise than the workload:", wrong,
            "every meshed request is answered 503 by the caller's proxy", f"kubectl get destinationrules {subject.flag}",
        )  # fmt: skip

    async def plain_callers(facts: Facts) -> Verdict:
        said, ports, by = await objects.mtls(facts, subject)
        if said != STRICT and STRICT not in ports.values():
            return SKIPPED
        if not any(istio.has_proxy(pod) for pod in await subject.pods(facts)):
            return SKIPPED
        outside = sorted(
            name(pod) for pod in await subject.neighbours(facts)
            if not istio.has_proxy(pod) and (pod.get("status") or {}).get("phase") == "Running"
        )  # fmt: skip
        told = [f"* {pod}" for pod in outside[:_SHOWN]]
        if len(outside) > _SHOWN:
            told.append(f"* and {len(outside) - _SHOWN} more")
        return _told(
            f"PeerAuthentication {by} is STRICT, and some pods of the namespace have no sidecar:", told,
            "if they call it, their connections are reset", f"kubectl get peerauthentication {by} -o yaml",
        )  # fmt: skip

    async def probed(facts: Facts) -> Verdict:
        said, ports, _ = await objects.mtls(facts, subject)
        metadata = subject.template.get("metadata") or {}
        if str((metadata.get("annotations") or {}).get(_REWRITE, "true")) != "false":
            return PASSED
        refused = [
            f"* {kind} of container {container['name']}"
            for container, kind, probe in probes(subject.template["spec"])
            if "httpGet" in probe and (port := probe_port(container, probe)) and ports.get(port, said) == STRICT
        ]
        return _told(
            f"Some probes speak plain HTTP to a STRICT port, and {_REWRITE} is false:", refused,
            "the kubelet has no certificate: pods become unready or are restarted",
            f"kubectl edit {subject.title} {subject.flag}, and take that annotation away",
        )  # fmt: skip

    async def let_in(facts: Facts) -> Verdict:
        policies = await objects.selecting(facts, subject, objects.AUTHORIZATION_POLICIES)
        denying = [item for item in policies if _action(item) == "DENY" and any(map(_everybody, _rules(item)))]
        if denying:
            return Failed(
                f"AuthorizationPolicy {name(denying[0])} denies every request",
                "they are answered 403 by the workload's own sidecar", _look(denying[0]),
            )  # fmt: skip
        allowing = [item for item in policies if _action(item) == "ALLOW"]
        if not allowing:
            return PASSED
        if not any(_rules(item) for item in allowing):
            return Failed(
                f"AuthorizationPolicy {name(allowing[0])} has no rules, and so lets nobody in",
                "every request is answered 403 by the workload's own sidecar", _look(allowing[0]),
            )  # fmt: skip
        shut = [
            f"* port {port}"
            for port in sorted(targets(await subject.services(facts), subject.template["spec"]))
            if not any(_for_port(rule, port) for item in allowing for rule in _rules(item))
        ]
        return _told(
            f"No AuthorizationPolicy allows anything on some ports ({', '.join(map(name, allowing))}):", shut,
            "requests to them are answered 403 by the workload's own sidecar, connections are reset", _look(allowing[0]),
        )  # fmt: skip

    async def complete(facts: Facts) -> Verdict:
        policies = await objects.selecting(facts, subject, objects.AUTHORIZATION_POLICIES)
        lost = [
            f"* AuthorizationPolicy {name(item)}: ServiceAccount {'/'.join(account)}"
            for item in policies
            for account in _accounts(item, subject.namespace)
            if await facts.find(resources.SERVICE_ACCOUNTS, *account) is None
        ]
        return _told(
            "Some policies name callers that don't exist:", lost, "nobody has that identity: nobody is let in, or kept out",
            f"kubectl get serviceaccounts {subject.flag}",
        )  # fmt: skip

    async def identified(facts: Facts) -> Verdict:
        said, _, by = await objects.mtls(facts, subject)
        if said != DISABLE:
            return PASSED
        asking = [
            f"* AuthorizationPolicy {name(item)}"
            for item in await objects.selecting(facts, subject, objects.AUTHORIZATION_POLICIES)
            if any(source.get("principals") or source.get("namespaces") or source.get("serviceAccounts")
                   for rule in _rules(item) for source in _sources(rule))
        ]  # fmt: skip
        return _told(
            f"PeerAuthentication {by} turns mTLS off, and some policies go by who calls:", asking,
            "without mTLS no caller has an identity: what they allow is refused, what they deny passes",
            f"kubectl get peerauthentication {by} -o yaml",
        )  # fmt: skip

    return Category(
        "authorization",
        (
            Check("mutual TLS has a mode", mode),
            Check("callers and workload agree on mutual TLS", agreed),
            Check("callers without a sidecar are let in", plain_callers, warning=True),
            Check("probes pass mutual TLS", probed),
            Check("policies let somebody in", let_in),
            Check("policies name callers that exist", complete),
            Check("policies can tell who calls", identified),
        ),
        "own",
    )


def _client_tls(rule: Object, port: int) -> str:
    """What a DestinationRule has callers speak to a port: its own setting for the port, else the general one."""
    policy = rule["spec"].get("trafficPolicy") or {}
    for one in policy.get("portLevelSettings") or []:
        if (one.get("port") or {}).get("number") == port:
            return str((one.get("tls") or {}).get("mode", ""))
    return str((policy.get("tls") or {}).get("mode", ""))


def _action(policy: Object) -> str:
    return str(policy["spec"].get("action", "ALLOW"))


def _rules(policy: Object) -> list[Object]:
    return [rule or {} for rule in policy["spec"].get("rules") or []]


def _everybody(rule: Object) -> bool:
    """Whether a rule matches every request."""
    return not any(rule.get(key) for key in ("from", "to", "when"))


def _for_port(rule: Object, port: int) -> bool:
    """Whether a rule can match a request to that port of the pods."""
    operations = [(one or {}).get("operation") or {} for one in rule.get("to") or []]
    return not operations or any(
        (not one.get("ports") or str(port) in one["ports"]) and str(port) not in (one.get("notPorts") or [])
        for one in operations
    )


def _sources(rule: Object) -> Iterator[Object]:
    for one in rule.get("from") or []:
        yield (one or {}).get("source") or {}


def _accounts(policy: Object, namespace: str) -> list[tuple[str, str]]:
    """The ServiceAccounts that it names in full: namespace, name."""
    found = []
    for rule in _rules(policy):
        for source in _sources(rule):
            for principal in source.get("principals") or []:
                _, _, path = principal.partition("/ns/")
                place, _, account = path.partition("/sa/")
                if place and account and "*" not in path:
                    found.append((place, account))
            for text in source.get("serviceAccounts") or []:
                place, _, account = text.rpartition("/")
                found.append((place or namespace, account))
    return list(dict.fromkeys(found))


def _look(policy: Object) -> str:
    return f"kubectl get authorizationpolicy {name(policy)} -n {policy['metadata'].get('namespace', '')} -o yaml"


def _told(title: str, told: list[str], why: str, then: str) -> Verdict:
    return Failed(lines(title, told), why, then) if told else PASSED
