"""Routes, profiles and Servers as the API has them, in a shape to ask; `routes` and `authorization` do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from interceptor.kube import Resource
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.workload.network import selected
from interceptor.mesh.check.workload.subject import Subject, declared_ports, name

Object = dict[str, Any]

SERVICE_PROFILES = Resource("linkerd.io/v1alpha2", "serviceprofiles", "ServiceProfile")
GATEWAY_ROUTES = Resource("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute")
POLICY_ROUTES = Resource("policy.linkerd.io/v1beta3", "httproutes", "HTTPRoute")
SERVERS = Resource("policy.linkerd.io/v1beta3", "servers", "Server")


@dataclass(frozen=True)
class Match:
    """One way for a request to match a rule; `raw` as the API has it."""

    raw: Object

    @property
    def path(self) -> str:
        """The path as people read it."""
        path = self.raw.get("path") or {}
        return f"{path.get('value', '/')}{'' if path.get('type') in ('Exact', 'RegularExpression') else '*'}"

    @property
    def everything(self) -> bool:
        """Whether every request matches."""
        path = self.raw.get("path") or {}
        free = not any(self.raw.get(key) for key in ("method", "headers", "queryParams"))
        return free and path.get("type", "PathPrefix") == "PathPrefix" and path.get("value", "/") == "/"

    def takes(self, method: str, path: str) -> bool:
        """Whether such a request without special headers matches."""
        if self.raw.get("headers") or self.raw.get("queryParams") or self.raw.get("method", method) != method:
            return False
        wanted = self.raw.get("path") or {}
        value, plain = str(wanted.get("value", "/")), path.partition("?")[0]
        match wanted.get("type", "PathPrefix"):
            case "Exact":
                return plain == value
            case "RegularExpression":
                try:
                    return re.fullmatch(value, plain) is not None
                except re.error:
                    return False  # the proxies drop such a match too
        return value in ("/", plain) or plain.startswith(value.rstrip("/") + "/")


@dataclass(frozen=True)
class Route:
    """An HTTPRoute, of either API group, with the ports of the parent that it is for (none: all)."""

    raw: Object
    group: str
    ports: frozenset[int]

    @property
    def title(self) -> str:
        """As people tell it from one of the other group."""
        return f"HTTPRoute {name(self.raw)}" + (" (policy.linkerd.io)" if self.group == "policy.linkerd.io" else "")

    @property
    def matches(self) -> list[Match]:
        """All its rules' matches; a rule without any matches everything."""
        rules = self.raw["spec"].get("rules") or [{}]
        return [Match(match) for rule in rules for match in rule.get("matches") or [{}]]

    def covers_port(self, port: int) -> bool:
        """Whether it is for that port of its parent."""
        return not self.ports or port in self.ports

    def backends(self, namespace: str) -> Iterator[str]:
        """The Services of its own namespace that it leads to."""
        for rule in self.raw["spec"].get("rules") or []:
            for backend in rule.get("backendRefs") or []:
                if backend.get("kind", "Service") == "Service" and backend.get("namespace", namespace) == namespace:
                    yield backend["name"]


async def profiles(facts: Facts, subject: Subject, services: list[Object]) -> list[Object]:
    """The ServiceProfiles of the Services, in their own namespace."""
    starts = tuple(f"{name(service)}.{subject.namespace}.svc." for service in services)
    found = await facts.list(SERVICE_PROFILES, subject.namespace)
    return [item for item in found if starts and name(item).startswith(starts)]


async def on_services(facts: Facts, subject: Subject, services: list[Object]) -> list[Route]:
    """The HTTPRoutes whose parent is one of the Services, the older first."""
    wanted = {name(service) for service in services}
    return await _routes(facts, subject, ("", "core"), "Service", wanted)


async def on_server(facts: Facts, subject: Subject, server: Object) -> list[Route]:
    """The HTTPRoutes on a Server."""
    return await _routes(facts, subject, ("policy.linkerd.io",), "Server", {name(server)})


async def _routes(facts: Facts, subject: Subject, groups: tuple[str, ...], kind: str, names: set[str]) -> list[Route]:
    found = []
    for resource in (GATEWAY_ROUTES, POLICY_ROUTES):
        for item in await facts.list(resource, subject.namespace):
            parents = [
                parent
                for parent in item["spec"].get("parentRefs") or []
                if parent.get("kind") == kind
                and parent.get("group", "gateway.networking.k8s.io") in groups
                and parent.get("namespace", subject.namespace) == subject.namespace
                and parent["name"] in names
            ]
            if parents:
                ports = [parent.get("port") for parent in parents]
                which = frozenset() if None in ports else frozenset(port for port in ports if port is not None)
                found.append(Route(item, resource.group, which))
    return sorted(found, key=lambda route: (route.raw["metadata"].get("creationTimestamp", ""), name(route.raw)))


async def servers(facts: Facts, subject: Subject) -> list[Object]:
    """The Servers that select the workload's pods."""
    labels = (subject.template.get("metadata") or {}).get("labels") or {}
    found = await facts.list(SERVERS, subject.namespace)
    return [item for item in found if "podSelector" in item["spec"] and selected(item["spec"]["podSelector"], labels)]


def server_port(server: Object, pod_spec: Object) -> int | None:
    """The number of the port that a Server is for, None where the pods have no such port."""
    port = server["spec"].get("port")
    if isinstance(port, int):
        return port
    return next((number for number, called in declared_ports(pod_spec) if called == port), None)
