"""`routes`: which ServiceProfiles and HTTPRoutes are in force for a workload, and which of them undo another.

Precedence, as observed on Linkerd: a ServiceProfile silently disables every HTTPRoute on the same Service; without one,
HTTPRoutes that leave paths uncovered answer 404 there; an HTTPRoute on a Server replaces the route that lets probes in.
"""

from __future__ import annotations

import json
from typing import Any

from interceptor.kube import resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.model import PASSED, SKIPPED, Category, Check, Failed, Passed, Verdict, lines
from interceptor.mesh.check.workload import routing
from interceptor.mesh.check.workload.routing import Route
from interceptor.mesh.check.workload.subject import Subject, name, probe_port, probes

Object = dict[str, Any]


def category(subject: Subject) -> Category:
    """All of it."""

    async def in_force(facts: Facts) -> Verdict:
        services = await subject.services(facts)
        profiles = await routing.profiles(facts, subject, services)
        routes = [] if profiles else await routing.on_services(facts, subject, services)
        told = [f"ServiceProfile {name(item)}" for item in profiles]
        told += [route.title for route in routes]
        return Passed("; ".join(told)) if told else SKIPPED

    async def undisturbed(facts: Facts) -> Verdict:
        services = await subject.services(facts)
        shadowed = []
        for service in services:
            profiles = await routing.profiles(facts, subject, [service])
            routes = await routing.on_services(facts, subject, [service])
            if profiles and routes:
                those = ", ".join(route.title for route in routes)
                shadowed.append(f"* service {name(service)}: ServiceProfile {name(profiles[0])} disables {those}")
        if not shadowed:
            return PASSED
        return Failed(
            lines("Some HTTPRoutes are not in force:", shadowed),
            "the proxies ignore them without a word: their timeouts, retries and splits don't happen",
            f"kubectl delete serviceprofile NAME {subject.flag}, or move its routes into the HTTPRoute",
        )

    async def covering(facts: Facts) -> Verdict:
        open_ = []
        for service in await subject.services(facts):
            if await routing.profiles(facts, subject, [service]):
                continue
            for port in service["spec"].get("ports") or []:
                routes = [
                    r for r in await routing.on_services(facts, subject, [service]) if r.covers_port(port["port"])
                ]
                if routes and not any(match.everything for route in routes for match in route.matches):
                    paths = ", ".join(sorted({match.path for route in routes for match in route.matches}))
                    open_.append(f"* service {name(service)} port {port['port']}: only {paths}")
        if not open_:
            return PASSED
        return Failed(
            lines("The HTTPRoutes of some Services have no catch-all:", open_),
            "meshed callers get 404 for every other path, from their own proxy: the app never sees them",
            "add a rule without matches, or with PathPrefix /",
        )

    async def distinct(facts: Facts) -> Verdict:
        twice = []
        for service in await subject.services(facts):
            seen: dict[str, Route] = {}
            for route in await routing.on_services(facts, subject, [service]):  # the older first
                for match in route.matches:
                    key = json.dumps([match.raw, sorted(route.ports)], sort_keys=True)
                    first = seen.setdefault(key, route)
                    if first.title != route.title:
                        twice.append(f"* service {name(service)}: {first.title} shadows {route.title} for {match.path}")
        if not twice:
            return PASSED
        return Failed(
            lines("Some routes match the same requests:", sorted(set(twice))),
            "the older one wins, the other one is never used for them",
            f"kubectl get httproutes {subject.flag}",
        )

    async def backed(facts: Facts) -> Verdict:
        there = {name(item) for item in await facts.list(resources.SERVICES, subject.namespace)}
        lost = [
            f"* {route.title}: service {backend}"
            for route in await routing.on_services(facts, subject, await subject.services(facts))
            for backend in route.backends(subject.namespace)
            if backend not in there
        ]
        if not lost:
            return PASSED
        why = "requests that go there are answered 500 by the caller's proxy"
        return Failed(lines("Some routes lead to Services that don't exist:", lost), why,
                      f"kubectl get services {subject.flag}")  # fmt: skip

    async def probed(facts: Facts) -> Verdict:
        refused = []
        for server in await routing.servers(facts, subject):
            routes = await routing.on_server(facts, subject, server)
            if not routes:
                continue  # the default route lets probes in
            for container, kind, probe in probes(subject.template["spec"]):
                path = (probe.get("httpGet") or {}).get("path")
                if path is None or probe_port(container, probe) != routing.server_port(
                    server, subject.template["spec"]
                ):
                    continue
                if not any(match.takes("GET", path) for route in routes for match in route.matches):
                    those = ", ".join(route.title for route in routes)
                    refused.append(
                        f"* {kind} of container {container['name']}: GET {path}, by {those} on server {name(server)}"
                    )
        if not refused:
            return PASSED
        return Failed(
            lines("Some probes are answered 404 by the proxy:", refused),
            "an HTTPRoute on a Server replaces the default route of probes: pods become unready, callers get 503",
            "add a rule for the probe's path to the HTTPRoute, and an AuthorizationPolicy that lets the kubelet in",
        )

    return Category(
        "routes",
        (
            Check("routes are in force", in_force),
            Check("no ServiceProfile disables an HTTPRoute", undisturbed),
            Check("HTTPRoutes have a catch-all", covering),
            Check("no route shadows another", distinct, warning=True),
            Check("routes lead to Services that exist", backed),
            Check("no HTTPRoute takes the probes' route away", probed),
        ),
        "own",
    )
