"""The routes of a Service, one by one, with what holds for them; `cli.profile_show` prints them, `edit` finds one. Pure.

Linkerd's precedence: a ServiceProfile disables every HTTPRoute and annotation of the Service. Among routes the annotations
of the route hide those of the Service, class by class: any `retry.` one hides all of the Service's `retry.` ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from interceptor.kube.resources import Resource
from interceptor.mesh.named_read import PROFILES
from interceptor.mesh.profile.read import InForce
from interceptor.mesh.profile.template import template_of, without_names
from interceptor.swap.path import Path

Object = dict[str, Any]

RETRY, TIMEOUT = "retry.linkerd.io/", "timeout.linkerd.io/"
DEFAULT_LIMIT = 1  # retries, where an annotation asks for them and names no number


@dataclass(frozen=True)
class Row:
    """One route. `place` is where it stands in its object; of the rest, "" is what nobody set."""

    name: str  # as the proxies' metrics have it
    route: str  # `GET /books/{id}`, or as near as can be said
    resource: Resource
    item: Object
    place: Path
    alone: bool = True  # nothing else is in its object: what holds for that holds for it
    timeout: str = ""
    retries: int | None = None  # None: no number; a ServiceProfile knows none
    retry_on: str = ""
    budget: str = ""
    shadowed_by: str = ""

    @property
    def object(self) -> str:
        """As people type it."""
        return title_of(self.resource, self.item)

    @property
    def retried(self) -> bool:
        """Whether anything is asked again."""
        return bool(self.retry_on) and self.retries != 0


def title_of(resource: Resource, item: Object) -> str:
    """`serviceprofile/x`, or with the group where two groups have that kind: `httproute.policy.linkerd.io/x`."""
    group = f".{resource.group}" if resource.group == "policy.linkerd.io" else ""
    return f"{resource.kind.lower()}{group}/{item['metadata']['name']}"


def rows(found: InForce) -> list[Row]:
    """All routes, those in force first."""
    shadow = title_of(PROFILES, found.profile) if found.profile is not None else ""
    listed = list(_of_profile(found.profile)) if found.profile is not None else []
    for resource, item in found.routes:
        listed += _of_route(found, resource, item, shadow)
    return listed


def _of_profile(profile: Object) -> Iterator[Row]:
    spec = profile.get("spec") or {}
    routes = spec.get("routes") or []
    budget = budget_words(spec.get("retryBudget"))
    for route in routes:
        condition = route.get("condition") or {}
        path = template_of(str(condition.get("pathRegex", ""))) or condition.get("pathRegex", "")
        again = route.get("isRetryable") is True
        yield Row(
            str(route.get("name", "")),
            " ".join(part for part in (str(condition.get("method", "")), str(path)) if part),
            PROFILES,
            profile,
            ("spec", "routes", {"name": route.get("name")}),
            alone=len(routes) == 1,
            timeout=str(route.get("timeout") or ""),
            retry_on=failures(route) if again else "",
            budget=(budget or "20%, at least 10/s") if again else "",
        )


def failures(route: Object) -> str:
    """Which answers a ServiceProfile's route counts as failures, and so retries."""
    classes = route.get("responseClasses") or []
    named = []
    for one in classes:
        status = (one.get("condition") or {}).get("status") or {}
        if one.get("isFailure") and status:
            low, high = status.get("min", status.get("max")), status.get("max", status.get("min"))
            named.append("5xx" if (low, high) == (500, 599) else f"{low}" if low == high else f"{low}-{high}")
    return ",".join(named) or "5xx"


def budget_words(budget: Object | None) -> str:
    """A retry budget in words."""
    if not budget:
        return ""
    return f"{float(budget.get('retryRatio', 0.2)) * 100:g}%, at least {budget.get('minRetriesPerSecond', 10)}/s"


def _of_route(found: InForce, resource: Resource, item: Object, shadow: str) -> Iterator[Row]:
    spec = item.get("spec") or {}
    own = item["metadata"].get("annotations") or {}
    service = found.service["metadata"].get("annotations") or {}
    retry = own if _any(own, RETRY) else service
    times = own if _any(own, TIMEOUT) else service
    retry_on = str(retry.get(f"{RETRY}{'grpc' if resource.kind == 'GRPCRoute' else 'http'}", ""))
    limit = str(retry.get(f"{RETRY}limit", ""))
    rules = spec.get("rules") or [{}]
    matches = sum(len(rule.get("matches") or [{}]) for rule in rules)
    for index, rule in enumerate(rules):
        annotated = str(times.get(f"{TIMEOUT}request", "")) if times is own else ""
        inherited = str(times.get(f"{TIMEOUT}request", "")) if times is service else ""
        timeout = annotated or str((rule.get("timeouts") or {}).get("request", "")) or inherited
        for match in rule.get("matches") or [{}]:
            yield Row(
                str(item["metadata"]["name"]),
                match_words(match, resource),
                resource,
                item,
                ("spec", "rules", rule_key(rule, index)),
                alone=matches == 1,
                timeout="" if timeout in ("0", "0s") else timeout,
                retries=(int(limit) if limit.isdigit() and int(limit) else DEFAULT_LIMIT) if retry_on else None,
                retry_on=retry_on,
                shadowed_by=shadow,
            )


def rule_key(rule: Object, index: int) -> Object:
    """By what a rule is known though others are put before it; a rule without any mark is the first."""
    for key in ("name", "matches", "backendRefs"):
        if key in rule:
            return {key: rule[key]}
    return {} if index == 0 else {"#": index}  # the latter is never found: nothing is written to the wrong one


def match_words(match: Object, resource: Resource) -> str:
    """A match as people read it: `GET /books/*`."""
    if resource.kind == "GRPCRoute":
        method = match.get("method") or {}
        return f"/{method.get('service') or '*'}/{method.get('method') or '*'}"
    path = match.get("path") or {}
    kind, value = path.get("type", "PathPrefix"), str(path.get("value", "/"))
    if kind == "RegularExpression":
        value = template_of(value) or value
    elif kind == "PathPrefix":
        value = value.rstrip("/") + "/*"
    words = [str(match.get("method", "")), value]
    if match.get("headers") or match.get("queryParams"):
        words.append("(some headers or parameters)")
    return " ".join(word for word in words if word)


def _any(annotations: Object, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in annotations)


def find(listed: list[Row], wanted: str) -> list[Row]:
    """The routes that are meant: by name, else by method and path whatever the parameters are called."""
    named = [row for row in listed if row.name == wanted]
    if named:
        return named
    return [row for row in listed if without_names(row.route) == without_names(" ".join(wanted.split()))]
