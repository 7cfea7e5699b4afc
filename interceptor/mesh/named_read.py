"""Reads the routes that somebody named for a workload's Services; a session does so once, so that figures bear those names.

Whoever may not read them, or has no such kinds in the cluster, gets paths for names: nothing else changes.
"""

from __future__ import annotations

from typing import Any

from interceptor.kube import ApiError, Cluster, resources
from interceptor.kube.resources import SERVICES, Resource
from interceptor.mesh.named import Names, of_profile, of_routes
from interceptor.workload.selectors import selects

Object = dict[str, Any]

PROFILES = resources.SERVICE_PROFILES
ROUTES = (resources.HTTP_ROUTES, resources.GRPC_ROUTES, resources.POLICY_HTTP_ROUTES)


async def read_names(cluster: Cluster, namespace: str, workload: Object) -> Names | None:
    """The named routes of the Services in front of a workload; None without any."""
    services = {
        item["metadata"]["name"]
        for item in await _list(cluster, SERVICES, namespace)
        if item["spec"].get("selector") and selects(item["spec"]["selector"], workload)
    }
    for profile in await _list(cluster, PROFILES, namespace):
        service, _, rest = profile["metadata"]["name"].partition(".")
        if service in services and rest.startswith(f"{namespace}.svc"):
            return of_profile(profile)
    routes = []
    for resource in ROUTES:
        routes += [
            {**route, "kind": resource.kind}
            for route in await _list(cluster, resource, namespace)
            if any(
                _is_parent(parent, services, namespace) for parent in (route.get("spec") or {}).get("parentRefs") or []
            )
        ]
    names = of_routes(routes)
    return names or None


async def _list(cluster: Cluster, resource: Resource, namespace: str) -> list[Object]:
    try:
        return (await cluster.list(resource, namespace)).items
    except ApiError:  # no such kind here, or not ours to read
        return []


def _is_parent(parent: Object, services: set[str], namespace: str) -> bool:
    return (
        parent.get("kind") == "Service"
        and parent.get("name") in services
        and parent.get("namespace", namespace) == namespace
    )
