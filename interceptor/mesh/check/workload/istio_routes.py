"""`routes`, under Istio: what VirtualServices and DestinationRules do to requests, and where they lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.model import PASSED, SKIPPED, Category, Check, Failed, Passed, Verdict, lines
from interceptor.mesh.check.workload import istio_objects as objects
from interceptor.mesh.check.workload.subject import Subject, name

Object = dict[str, Any]

_KINDS = ("http", "tls", "tcp")


def category(subject: Subject) -> Category:
    """All of it."""

    async def in_force(facts: Facts) -> Verdict:
        told = [f"VirtualService {name(item)}" for item in await _virtual_services(facts, subject)]
        told += [f"DestinationRule {name(item)}" for item in await _rules(facts, subject)]
        return Passed("; ".join(told)) if told else SKIPPED

    async def existing(facts: Facts) -> Verdict:
        services = {name(item): item for item in await facts.list(resources.SERVICES, subject.namespace)}
        lost = []
        for virtual, destination in await _destinations(facts, subject):
            found = objects.service_of(destination.get("host", ""), subject.namespace)
            if found is None or found[1] != subject.namespace:
                continue
            port = (destination.get("port") or {}).get("number")
            if found[0] not in services:
                lost.append(f"* VirtualService {virtual}: service {found[0]}")
            elif port and port not in {item["port"] for item in services[found[0]]["spec"].get("ports") or []}:
                lost.append(f"* VirtualService {virtual}: port {port} of service {found[0]}")
        return _lost(
            "Some routes lead to Services or ports that don't exist:", lost,
            "requests that go there are answered 503 by the caller's proxy", f"kubectl get services {subject.flag}",
        )  # fmt: skip

    async def defined(facts: Facts) -> Verdict:
        lost = []
        for virtual, destination in await _destinations(facts, subject):
            subset = destination.get("subset")
            host = objects.service_of(destination.get("host", ""), subject.namespace)
            if not subset or host is None or host[1] != subject.namespace:
                continue
            rules = [item for item in await facts.list(objects.DESTINATION_RULES, subject.namespace)
                     if objects.covers(item["spec"].get("host", ""), *host)]  # fmt: skip
            if not any(one["name"] == subset for item in rules for one in item["spec"].get("subsets") or []):
                lost.append(f"* VirtualService {virtual}: subset {subset} of {host[0]}")
        return _lost(
            "Some routes lead to subsets that no DestinationRule defines:", lost,
            "requests that go there are answered 503 by the caller's proxy (flag NC)",
            f"kubectl get destinationrules -o yaml {subject.flag}",
        )  # fmt: skip

    async def inhabited(facts: Facts) -> Verdict:
        used = [destination for _, destination in await _destinations(facts, subject)]
        empty = []
        for rule in await _rules(facts, subject):
            for service in await subject.services(facts):
                if not objects.covers(rule["spec"].get("host", ""), name(service), subject.namespace):
                    continue
                pods = [
                    pod for pod in await subject.neighbours(facts)
                    if _has(pod, service["spec"].get("selector") or {}) and "deletionTimestamp" not in pod["metadata"]
                ]  # fmt: skip
                for subset in rule["spec"].get("subsets") or []:
                    asked = any(_is(one, name(service), subset["name"], subject.namespace) for one in used)
                    if asked and not any(_has(pod, subset.get("labels") or {}) for pod in pods):
                        empty.append(f"* DestinationRule {name(rule)}: subset {subset['name']}, {_text(subset)}")
        return _lost(
            "Some subsets that routes lead to have no pods:", sorted(set(empty)),
            "requests that go there are answered 503 by the caller's proxy (flag UH)",
            f"kubectl get pods --show-labels {subject.flag}",
        )  # fmt: skip

    async def covering(facts: Facts) -> Verdict:
        open_ = [
            f"* VirtualService {name(item)}: only {', '.join(sorted({_path(m) for r in routes for m in r['match']}))}"
            for item in await _virtual_services(facts, subject)
            if objects.in_mesh(item) and (routes := item["spec"].get("http")) and not any(map(_everything, routes))
        ]
        return _lost(
            "Some VirtualServices have no catch-all:", open_,
            "meshed callers get 404 for every other path, from their own proxy: the app never sees them",
            "add a route without a match, as the last one",
        )  # fmt: skip

    async def distinct(facts: Facts) -> Verdict:
        twice = []
        first: dict[tuple[str, str], str] = {}
        for item in await _virtual_services(facts, subject):  # the older first
            for service in await subject.services(facts):
                if objects.in_mesh(item) and any(
                    objects.covers(host, name(service), subject.namespace) for host in item["spec"].get("hosts") or []
                ):
                    other = first.setdefault((subject.namespace, name(service)), name(item))
                    if other != name(item):
                        twice.append(f"* VirtualService {name(item)}: {other} is for service {name(service)} already")
            routes = item["spec"].get("http") or []
            reach = next((index for index, route in enumerate(routes) if _everything(route)), len(routes))
            twice += [f"* VirtualService {name(item)}: http route {index + 1} is behind a catch-all"
                      for index in range(reach + 1, len(routes))]  # fmt: skip
        return _lost(
            "Some routes are never used:", twice, "requests take another way than the one written down",
            f"kubectl get virtualservices -o yaml {subject.flag}",
        )  # fmt: skip

    return Category(
        "routes",
        (
            Check("routes are in force", in_force),
            Check("routes lead to Services that exist", existing),
            Check("routes lead to subsets that are defined", defined),
            Check("subsets have pods", inhabited),
            Check("VirtualServices have a catch-all", covering),
            Check("no route shadows another", distinct, warning=True),
        ),
        "own",
    )


async def _virtual_services(facts: Facts, subject: Subject) -> list[Object]:
    """Those for the workload's Services, the older first."""
    names = [name(service) for service in await subject.services(facts)]
    return [
        item
        for item in sorted(await facts.list(objects.VIRTUAL_SERVICES, subject.namespace), key=objects.created)
        if any(
            objects.covers(host, one, subject.namespace) for host in item["spec"].get("hosts") or [] for one in names
        )
    ]


async def _rules(facts: Facts, subject: Subject) -> list[Object]:
    names = [name(service) for service in await subject.services(facts)]
    found = await facts.list(objects.DESTINATION_RULES, subject.namespace)
    return [
        item for item in found
        if any(objects.covers(item["spec"].get("host", ""), one, subject.namespace) for one in names)
    ]  # fmt: skip


async def _destinations(facts: Facts, subject: Subject) -> list[tuple[str, Object]]:
    """Where the routes of the VirtualServices for the workload lead, and all others' that lead to it."""
    own = {name(item) for item in await _virtual_services(facts, subject)}
    names = {name(service) for service in await subject.services(facts)}
    found = []
    for item in await facts.list(objects.VIRTUAL_SERVICES, subject.namespace):
        for destination in _of(item):
            host = objects.service_of(destination.get("host", ""), subject.namespace)
            if name(item) in own or (host is not None and host[0] in names and host[1] == subject.namespace):
                found.append((name(item), destination))
    return found


def _of(virtual_service: Object) -> Iterator[Object]:
    for kind in _KINDS:
        for route in virtual_service["spec"].get(kind) or []:
            for one in [*(route.get("route") or []), *(route.get("mirrors") or [])]:
                yield one.get("destination") or {}
            if route.get("mirror"):
                yield route["mirror"]


def _is(destination: Object, service: str, subset: str, namespace: str) -> bool:
    host = objects.service_of(destination.get("host", ""), namespace)
    return host == (service, namespace) and destination.get("subset") == subset


def _has(pod: Object, wanted: dict[str, str]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


def _everything(route: Object) -> bool:
    """Whether a route takes every request. A redirect or a delegate may too."""
    matches = route.get("match") or []
    return not matches or any(
        set(match) <= {"name", "uri"} and (match.get("uri") or {"prefix": "/"}).get("prefix") == "/"
        for match in matches
    )


def _path(match: Object) -> str:
    for kind, end in (("prefix", "*"), ("exact", ""), ("regex", "")):
        if kind in (match.get("uri") or {}):
            return f"{match['uri'][kind]}{end}"
    return "requests with " + ", ".join(sorted(set(match) - {"name"}))


def _text(subset: Object) -> str:
    return ",".join(f"{key}={value}" for key, value in (subset.get("labels") or {}).items())


def _lost(title: str, told: list[str], why: str, then: str) -> Verdict:
    return Failed(lines(title, told), why, then) if told else PASSED
