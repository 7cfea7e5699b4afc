"""Rights as objects of RBAC and as YAML; `interceptor rbac` and `--dry-run` print them. Pure.

The YAML is written by hand, a rule a line: a person reads it before an admin applies it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from interceptor.kube import resources
from interceptor.workload.rights import Right

Object = dict[str, Any]

_API = resources.ROLES.group_version


@dataclass(frozen=True)
class Subject:
    """Whom a Role is bound to. `namespace` is a ServiceAccount's."""

    kind: Literal["User", "Group", "ServiceAccount"]
    name: str
    namespace: str = ""

    def body(self) -> Object:
        """As RBAC writes it."""
        if self.kind == "ServiceAccount":
            return {"kind": self.kind, "name": self.name, "namespace": self.namespace}
        return {"apiGroup": resources.ROLES.group, "kind": self.kind, "name": self.name}


def role(rights: Iterable[Right], name: str, namespace: str | None) -> Object:
    """The Role that allows exactly these rights; without a namespace, the ClusterRole."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": _API,
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": metadata,
        "rules": rules(rights),
    }


def rules(rights: Iterable[Right]) -> list[Object]:
    """One rule for each resource, and one more for each name."""
    rights = list(rights)
    everywhere = {(right.verb, right.resource, right.subresource) for right in rights if not right.name}
    verbs: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        if right.name and (right.verb, right.resource, right.subresource) in everywhere:
            continue
        plural = right.resource.plural + (f"/{right.subresource}" if right.subresource else "")
        found = verbs.setdefault((right.resource.group, plural, right.name), [])
        if right.verb not in found:
            found.append(right.verb)
    return [
        {"apiGroups": [group], "resources": [plural]} | ({"resourceNames": [name]} if name else {}) | {"verbs": found}
        for (group, plural, name), found in verbs.items()
    ]


def binding(of: Object, subject: Subject) -> Object:
    """Gives the Role to somebody. Named after both: a second user's must not take the place of the first one's."""
    metadata = dict(of["metadata"])
    metadata["name"] = f"{metadata['name']}:{subject.name}".replace("/", "-").replace("%", "-")
    reference = {"apiGroup": resources.ROLES.group, "kind": of["kind"], "name": of["metadata"]["name"]}
    return {
        "apiVersion": _API,
        "kind": f"{of['kind']}Binding",
        "metadata": metadata,
        "roleRef": reference,
        "subjects": [subject.body()],
    }


def yaml_of(objects: Sequence[Object], notes: Sequence[str] = ()) -> str:
    """Documents for `kubectl apply -f -`, behind comments."""
    comments = [f"# {line}".rstrip() for note in notes for line in note.splitlines()]
    return "\n".join([*comments, *("\n".join(_document(one)) for one in _between(objects))]) + "\n"


def _between(objects: Sequence[Object]) -> Iterator[Object | None]:
    for index, one in enumerate(objects):
        if index:
            yield None
        yield one


def _document(one: Object | None) -> Iterator[str]:
    if one is None:
        yield "---"
        return
    for key in ("apiVersion", "kind"):
        yield f"{key}: {one[key]}"
    for key, value in one.items():
        if isinstance(value, list):
            yield f"{key}:"
            yield from (f"- {_flow(item)}" for item in value)
        elif isinstance(value, dict):
            yield f"{key}: {_flow(value)}"


def _flow(value: Any) -> str:
    """YAML's flow style: JSON with bare keys, so every string is quoted and none is ever taken for something else."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value)
