"""Reads what is in force for a Service: its ServiceProfile, HTTPRoutes and GRPCRoutes, and what others wrote over them.

The one module of this folder that asks the cluster; `session.profile` begins with it, `show` and `edit` go on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import yaml

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Forbidden, NotFound
from interceptor.kube.resources import CONFIGMAPS, SERVICES, Resource
from interceptor.mesh.named_read import PROFILES, ROUTES
from interceptor.workload.missing import no_such

Object = dict[str, Any]

KINDS = (PROFILES, *ROUTES)
DOMAIN = "cluster.local"
_ONE_PARENT = ("", "core")


@dataclass
class InForce:
    """A Service and all that names its routes. `absent` are kinds that the cluster doesn't have, `hidden` unreadable."""

    namespace: str
    service: Object
    domain: str
    profile: Object | None = None
    routes: list[tuple[Resource, Object]] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)  # namespaces whose callers have a profile of their own
    absent: set[Resource] = field(default_factory=set)
    hidden: dict[Resource, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The Service's."""
        return str(self.service["metadata"]["name"])

    @property
    def host(self) -> str:
        """What callers may ask for, and how a ServiceProfile is called."""
        return f"{self.name}.{self.namespace}.svc.{self.domain}"

    @property
    def ports(self) -> list[int]:
        """Of the Service."""
        return [int(port["port"]) for port in self.service["spec"].get("ports") or []]

    @property
    def title(self) -> str:
        """As people type it."""
        return f"svc/{self.name}"


def service_named(text: str) -> str:
    """The name in `svc/x` or `x`. Raises InterceptorError for anything else."""
    kind, slash, name = text.partition("/")
    if not slash:
        return text
    if kind.lower() not in ("svc", "service", "services") or not name or "/" in name:
        raise InterceptorError(f"{text} is no Service: routes belong to Services", hint=f"type svc/{name or 'NAME'}")
    return name


async def read(cluster: Cluster, namespace: str, text: str, *, domain: str = "") -> InForce:
    """All of it. Raises InterceptorError where there is no such Service."""
    name = service_named(text)
    try:
        service = await cluster.get(SERVICES, namespace, name)
    except NotFound:
        raise await no_such(cluster, "service", namespace, name, (SERVICES,)) from None
    found = InForce(namespace, service, domain or DOMAIN)
    async with asyncio.TaskGroup() as group:
        lists = {
            kind: group.create_task(_list(cluster, kind, namespace, found), name=f"list {kind.title()}")
            for kind in KINDS
        }
        known = group.create_task(_domain(cluster, domain), name="read the cluster's domain")
        others = group.create_task(_elsewhere(cluster, name, namespace), name="look for profiles of callers")
    profiles = [one for one in lists[PROFILES].result() if _is_for(one, name, namespace)]
    if profiles:
        found.profile = profiles[0]
        found.domain = domain or profiles[0]["metadata"]["name"].split(".svc.", 1)[-1]
    else:
        found.domain = known.result()
    for kind in ROUTES:
        found.routes += [(kind, one) for one in lists[kind].result() if is_on(one, name, namespace)]
    found.routes.sort(key=lambda item: (item[1]["metadata"].get("creationTimestamp", ""), item[1]["metadata"]["name"]))
    found.elsewhere = others.result()
    return found


def is_on(route: Object, service: str, namespace: str) -> bool:
    """Whether a route's parent is this Service."""
    return any(
        parent.get("kind") == "Service"
        and parent.get("group", "gateway.networking.k8s.io") in _ONE_PARENT
        and parent.get("name") == service
        and parent.get("namespace", namespace) == namespace
        for parent in (route.get("spec") or {}).get("parentRefs") or []
    )


def _is_for(profile: Object, service: str, namespace: str) -> bool:
    return str(profile["metadata"]["name"]).startswith(f"{service}.{namespace}.svc.")


async def _list(cluster: Cluster, kind: Resource, namespace: str, found: InForce) -> list[Object]:
    try:
        items = (await cluster.list(kind, namespace)).items
    except NotFound:
        found.absent.add(kind)
        return []
    except Forbidden as error:
        found.hidden[kind] = error.message
        return []
    return [{**item, "apiVersion": kind.group_version, "kind": kind.kind} for item in items]


async def _domain(cluster: Cluster, given: str) -> str:
    """The cluster's domain, as Linkerd's own settings say it; the usual one where they can't be read."""
    if given:
        return given
    try:
        config = await cluster.get(CONFIGMAPS, "linkerd", "linkerd-config")
        values = yaml.safe_load(config["data"]["values"])
        return str(values.get("clusterDomain") or DOMAIN)
    except (NotFound, Forbidden, KeyError, AttributeError, yaml.YAMLError):
        return DOMAIN


async def _elsewhere(cluster: Cluster, service: str, namespace: str) -> list[str]:
    """Namespaces with a ServiceProfile for this Service: it holds for the callers there."""
    try:
        listed = await cluster.list(PROFILES, None, metadata_only=True)
    except (NotFound, Forbidden):
        return []
    return sorted(
        item["metadata"]["namespace"]
        for item in listed.items
        if _is_for(item, service, namespace) and item["metadata"]["namespace"] != namespace
    )
