"""What the server says about itself: groups, resources, version, and as much OpenAPI as kubectl asks for. Called by `server`.

The OpenAPI documents have paths and kinds but no schemas: enough for kubectl to leave validation to the server and to
do its three-way merge with its own types. `kubectl explain` therefore says it knows nothing.
"""

from __future__ import annotations

from typing import Any

from interceptor.devcluster.objects import Object
from interceptor.devcluster.resources import RESOURCES, Resource, groups

VERSION: Object = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.0-interceptor-devcluster",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2025-08-27T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/python",
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SUB_KINDS = {
    "scale": "Scale",
    "eviction": "Eviction",
    "token": "TokenRequest",
    "exec": "PodExecOptions",
    "portforward": "PodPortForwardOptions",
}
_SUB_VERBS = {
    "scale": ["get", "patch", "update"],
    "status": ["get", "patch", "update"],
    "log": ["get"],
    "exec": ["create", "get"],
    "portforward": ["create", "get"],
    "eviction": ["create"],
    "token": ["create"],
}


def _resource(item: Resource) -> Object:
    entry: Object = {
        "name": item.plural,
        "singularName": item.singular,
        "namespaced": item.namespaced,
        "kind": item.kind,
        "verbs": list(item.verbs),
    }
    if item.short:
        entry["shortNames"] = list(item.short)
    if item.categories:
        entry["categories"] = list(item.categories)
    return entry


def resource_list(group: str) -> Object:
    """Return APIResourceList of a group."""
    found: list[Object] = []
    version = groups()[group]
    for item in RESOURCES:
        if item.group == group:
            found.append(_resource(item))
            found += [
                {
                    "name": f"{item.plural}/{sub}",
                    "singularName": "",
                    "namespaced": item.namespaced,
                    "kind": _SUB_KINDS.get(sub, item.kind),
                    "verbs": _SUB_VERBS[sub],
                }
                for sub in item.subresources
            ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": found,
    }


def group_list() -> Object:
    """Return APIGroupList."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(name) for name in groups() if name]}


def group(name: str) -> Object:
    """Return one APIGroup."""
    version = {"groupVersion": f"{name}/{groups()[name]}", "version": groups()[name]}
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [version], "preferredVersion": version}


def _aggregated_resource(item: Resource) -> Object:
    kind = {"group": item.group, "version": item.version, "kind": item.kind}
    entry: Object = {
        "resource": item.plural,
        "responseKind": kind,
        "scope": "Namespaced" if item.namespaced else "Cluster",
        "singularResource": item.singular,
        "verbs": list(item.verbs),
    }
    if item.short:
        entry["shortNames"] = list(item.short)
    if item.categories:
        entry["categories"] = list(item.categories)
    if item.subresources:
        entry["subresources"] = [
            {
                "subresource": sub,
                "responseKind": kind | {"kind": _SUB_KINDS.get(sub, item.kind)},
                "verbs": _SUB_VERBS[sub],
            }
            for sub in item.subresources
        ]
    return entry


def aggregated(*, core: bool) -> Object:
    """Return the whole discovery of /api or /apis in one document."""
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "freshness": "Current",
                    "resources": [_aggregated_resource(item) for item in RESOURCES if item.group == name],
                }
            ],
        }
        for name, version in groups().items()
        if (name == "") is core
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def legacy_versions(address: str) -> Object:
    """Return APIVersions of /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def openapi_index() -> Object:
    """Return /openapi/v3."""
    paths = [f"apis/{name}/{version}" if name else f"api/{version}" for name, version in groups().items()]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=1"} for path in paths}}


def openapi(group_name: str) -> Object:
    """Return the document of one group: which kinds can be created and patched, with which query parameters."""
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for item in RESOURCES:
        if item.group != group_name:
            continue
        kind = {"group": item.group, "version": item.version, "kind": item.kind}
        prefix = f"/apis/{item.group}/{item.version}" if item.group else f"/api/{item.version}"
        scope = "/namespaces/{namespace}" if item.namespaced else ""
        operations = {"post": "post"} if "create" in item.verbs else {}
        paths[f"{prefix}{scope}/{item.plural}"] = {
            verb: {
                "x-kubernetes-action": verb,
                "x-kubernetes-group-version-kind": kind,
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
            }
            for verb in operations
        }
        if "patch" in item.verbs:
            paths[f"{prefix}{scope}/{item.plural}/{{name}}"] = {
                "patch": {
                    "x-kubernetes-action": "patch",
                    "x-kubernetes-group-version-kind": kind,
                    "parameters": parameters,
                    "responses": {"200": {"description": "OK"}},
                },
            }
        name = ".".join(reversed([*(item.group.split(".") if item.group else ["core"]), item.version]))
        schemas[f"io.k8s.api.{name}.{item.kind}"] = {
            "type": "object",
            "x-kubernetes-group-version-kind": [kind],
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": schemas},
    }
