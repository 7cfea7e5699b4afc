"""May this user do that: Roles and bindings evaluated as the RBAC authorizer does; called by `api.server` and reviews.

Also the guard against giving away more than one has: creating a Role or a binding needs the rights in it (or
`escalate`, `bind`).
"""

from __future__ import annotations

from collections.abc import Iterator

from interceptor.devcluster import resources
from interceptor.devcluster.auth.tokens import User
from interceptor.devcluster.objects import Object, name_of
from interceptor.devcluster.resources import Resource
from interceptor.devcluster.status import forbidden
from interceptor.devcluster.store import Store

Rule = Object
_MASTERS = "system:masters"


def _has(listed: list[str] | None, wanted: str) -> bool:
    return "*" in (listed or ()) or wanted in (listed or ())


def _has_resource(listed: list[str] | None, resource: str, subresource: str) -> bool:
    combined = f"{resource}/{subresource}" if subresource else resource
    return _has(listed, combined) or (bool(subresource) and f"*/{subresource}" in (listed or ()))


def rule_allows(rule: Rule, verb: str, group: str, resource: str, subresource: str, name: str) -> bool:
    """Tell whether one rule allows one request."""
    names = rule.get("resourceNames")
    return (
        _has(rule.get("verbs"), verb)
        and _has(rule.get("apiGroups"), group)
        and _has_resource(rule.get("resources"), resource, subresource)
        and (not names or name in names)
    )


def _path_allowed(rule: Rule, verb: str, path: str) -> bool:
    return _has(rule.get("verbs"), verb) and any(
        path == pattern or (pattern.endswith("*") and path.startswith(pattern[:-1]))
        for pattern in rule.get("nonResourceURLs") or ()
    )


def _subject_is(subject: Object, user: User, namespace: str) -> bool:
    if subject["kind"] == "User":
        return bool(subject["name"] == user.name)
    if subject["kind"] == "Group":
        return subject["name"] in user.groups
    account = f"system:serviceaccount:{subject.get('namespace') or namespace}:{subject['name']}"
    return account == user.name


class Rbac:
    """The authorizer; reads roles and bindings from the store at every question, so changes hold at once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def rules(self, user: User, namespace: str) -> Iterator[Rule]:
        """Yield the rules that hold for a user in a namespace ("" for cluster scope only)."""
        if _MASTERS in user.groups:
            yield {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            yield {"verbs": ["*"], "nonResourceURLs": ["*"]}
            return
        bindings = list(self._store.list(resources.CLUSTERROLEBINDINGS))
        if namespace:
            bindings += self._store.list(resources.ROLEBINDINGS, namespace)
        for binding in bindings:
            if any(_subject_is(subject, user, namespace) for subject in binding.get("subjects") or ()):
                yield from self.role_rules(binding["roleRef"], namespace)

    def role_rules(self, ref: Object, namespace: str) -> list[Rule]:
        """Return the rules of the role a binding names; a missing role has none."""
        if ref["kind"] == "ClusterRole":
            role = self._store.get(resources.CLUSTERROLES, "", ref["name"])
        else:
            role = self._store.get(resources.ROLES, namespace, ref["name"])
        return list((role or {}).get("rules") or ())

    def allows(
        self, user: User, verb: str, group: str, resource: str, subresource: str, namespace: str, name: str
    ) -> bool:
        """Tell whether a user may do something to a resource."""
        return any(rule_allows(rule, verb, group, resource, subresource, name) for rule in self.rules(user, namespace))

    def allows_path(self, user: User, verb: str, path: str) -> bool:
        """Tell whether a user may read a path that is no resource."""
        return any(_path_allowed(rule, verb, path) for rule in self.rules(user, ""))

    def check_grant(self, user: User, resource: Resource, obj: Object, *, verb: str) -> None:
        """Raise 403 when a new or changed role or binding would give away more than the user has."""
        namespace = obj["metadata"].get("namespace", "")
        if resource in (resources.ROLES, resources.CLUSTERROLES):
            rules, right = list(obj.get("rules") or ()), "escalate"
            target, target_name = resource.plural, obj["metadata"].get("name", "")
        elif resource in (resources.ROLEBINDINGS, resources.CLUSTERROLEBINDINGS):
            ref = obj["roleRef"]
            rules, right = self.role_rules(ref, namespace), "bind"
            target = "clusterroles" if ref["kind"] == "ClusterRole" else "roles"
            target_name = ref["name"]
        else:
            return
        if self.allows(user, right, resource.group, target, "", namespace, target_name):
            return
        held = list(self.rules(user, namespace))
        missing = [rule for rule in rules if not _covered(rule, held)]
        if missing:
            groups = ", ".join(f'"{group}"' for group in user.groups)
            listed = "\n".join("{" + _spell(rule) + "}" for rule in missing)
            raise forbidden(
                resource.qualified,
                obj["metadata"].get("name", ""),
                f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
                f"{listed}",
                {"name": name_of(obj), "group": resource.group, "kind": resource.plural},
            )


def _covered(rule: Rule, held: list[Rule]) -> bool:
    """Tell whether every single right in `rule` is in some held rule."""
    if "nonResourceURLs" in rule:
        return all(
            any(_path_allowed(other, verb, path) for other in held)
            for verb in rule["verbs"]
            for path in rule["nonResourceURLs"]
        )
    return all(
        any(rule_allows(other, verb, group, *_split(resource), name) for other in held)
        for verb in rule.get("verbs") or ()
        for group in rule.get("apiGroups") or ()
        for resource in rule.get("resources") or ()
        for name in rule.get("resourceNames") or [""]
    )


def _split(resource: str) -> tuple[str, str]:
    name, _, subresource = resource.partition("/")
    return name, subresource


def _spell(rule: Rule) -> str:
    parts = []
    for label, field in (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("ResourceNames", "resourceNames"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("Verbs", "verbs"),
    ):
        if rule.get(field):
            parts.append(f"{label}:[" + " ".join(f'"{value}"' for value in rule[field]) + "]")
    return ", ".join(parts)
