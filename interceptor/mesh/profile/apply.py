"""What of a change is sent by server-side apply, whose fields that takes, and how the change looks to a person. Pure.

A list of a custom resource is one field to the API server: to set the timeout of one route is to say all routes. So whoever
wrote the list owns it, and applying ours is a conflict with them. A person's one-time write (kubectl) is taken for the time
and given back; a controller would write again, and is not touched unless told to.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import yaml

from interceptor.mesh.profile.edit import Edit
from interceptor.swap.path import ABSENT, Path, look, put, text
from interceptor.swap.policy import FIELD_MANAGER, POLICY_ANNOTATION

Object = dict[str, Any]

# Tools that write when a person says so, and not again by themselves.
_PEOPLE = ("kubectl", "linkerd", "helm", "k9s", "Lens", "OpenLens", "node-fetch", "before-first-apply", "interceptor")


@dataclass(frozen=True)
class Owner:
    """Somebody who owns a field that the change needs."""

    manager: str
    field: str

    @property
    def returns(self) -> bool:
        """Whether it is likely to write again by itself."""
        return not self.manager.startswith(_PEOPLE)


def applied(edit: Edit) -> Object:
    """The object to apply: its identity and the fields that change, lists whole, and nothing else."""
    after = edit.after
    body: Object = {
        "apiVersion": edit.resource.group_version,
        "kind": edit.resource.kind,
        "metadata": {"name": edit.name, "namespace": after["metadata"].get("namespace")},
    }
    version = after["metadata"].get("resourceVersion")
    if version:
        body["metadata"]["resourceVersion"] = version  # what the person was shown is what is changed
    for path in fields(edit):
        value = look(after, path)
        if value is ABSENT:
            continue
        for end in range(1, len(path)):
            if look(body, path[:end]) is ABSENT:
                put(body, path[:end], {})
        put(body, path, value)
    return body


def removed(edit: Edit) -> list[Path]:
    """Fields that go altogether: applying can't say that of a field which somebody else owns."""
    return [path for path in fields(edit) if look(edit.after, path) is ABSENT]


def fields(edit: Edit) -> list[Path]:
    """What the API server counts as fields among the changed places."""
    found: dict[str, Path] = {}
    for change in edit.changes:
        end = next((index for index, step in enumerate(change.path) if not isinstance(step, str)), len(change.path))
        found[text(change.path[:end])] = change.path[:end]
    return list(found.values())


def owners(edit: Edit) -> list[Owner]:
    """Who owns these fields now, others than we."""
    if edit.before is None:
        return []
    found: list[Owner] = []
    for entry in edit.before["metadata"].get("managedFields") or []:
        if entry.get("manager") == FIELD_MANAGER or entry.get("subresource"):
            continue
        found += [
            Owner(str(entry.get("manager") or "somebody"), text(path))
            for path in fields(edit)
            if look(edit.before, path) is not ABSENT and _has(entry.get("fieldsV1") or {}, path)
        ]
    return list(dict.fromkeys(found))


def _has(owned: Object, path: Path) -> bool:
    for step in path:
        key = f"f:{step}"
        if key not in owned:
            return False
        owned = owned[key]
    return True


def difference(edit: Edit) -> list[str]:
    """The change as `diff -u` would show it, in YAML."""
    before = _shown(edit.before).splitlines() if edit.before is not None else []
    lines = difflib.unified_diff(before, _shown(edit.after).splitlines(), edit.title, edit.title, lineterm="", n=4)
    return list(lines)


def _shown(item: Object) -> str:
    metadata = item["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != POLICY_ANNOTATION}
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    shown: Object = {
        "apiVersion": item.get("apiVersion"),
        "kind": item.get("kind"),
        "metadata": {"name": metadata["name"]} | ({"annotations": annotations} if annotations else {}),
        "spec": item.get("spec"),
    }
    return str(yaml.safe_dump(shown, sort_keys=True, default_flow_style=False, width=1_000_000))
