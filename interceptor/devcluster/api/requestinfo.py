"""What a path and method ask for, as the API server's RequestInfo does it; called by `server`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interceptor.devcluster import resources
from interceptor.devcluster.resources import Resource
from interceptor.devcluster.status import no_such_path, no_such_resource, unsupported


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """One request taken apart. `resource` is None for paths like /version."""

    path: str
    verb: str
    resource: Resource | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def group(self) -> str:
        """API group, "" for the core."""
        return self.resource.group if self.resource else ""

    @property
    def plural(self) -> str:
        """The resource's plural, "" when there is none."""
        return self.resource.plural if self.resource else ""


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def _truth(text: str | None) -> bool:
    return text in ("1", "true", "True", "t", "T")


def parse(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Take a request apart; 404 for what no Kubernetes knows, 501 for what only real ones do."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(path, method.lower())
    if rest[0] in ("watch", "proxy"):
        raise unsupported(f"the old /{rest[0]}/ paths")
    namespace = name = subresource = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural = rest[0]
    resource = resources.find(group, version, plural)
    if resource is None:
        if plural in resources.ABSENT:
            raise unsupported(f"{plural}")
        raise no_such_resource() if resources.groups().get(group) == version else no_such_path()
    if len(rest) > 1:
        name = rest[1]
    if len(rest) > 2:
        subresource = "/".join(rest[2:])
    if subresource and subresource not in resource.subresources:
        raise unsupported(f"{plural}/{subresource}")
    if resource is resources.NAMESPACES and name:
        namespace = name
    if namespace and not resource.namespaced and resource is not resources.NAMESPACES:
        raise no_such_path()
    verb = _verb(method, query, name)
    return RequestInfo(path, verb, resource, namespace, name, subresource)


def _verb(method: str, query: Mapping[str, str], name: str) -> str:
    if method in ("GET", "HEAD"):
        if _truth(query.get("watch")):
            return "watch"
        return "get" if name else "list"
    verb = _VERBS.get(method, method.lower())
    return "deletecollection" if verb == "delete" and not name else verb
