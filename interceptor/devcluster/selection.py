"""Label and field selectors: parsed from query strings and objects, matched by lists, watches and controllers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from interceptor.devcluster.objects import Object
from interceptor.devcluster.status import bad_request

Predicate = Callable[[Object], bool]
_SET = re.compile(r"^\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*$")
_TERMS = re.compile(r",(?![^(]*\))")


def _label_term(term: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(term):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    for operator in ("!=", "==", "="):
        if operator in term:
            key, _, value = (part.strip() for part in term.partition(operator))
            if operator == "!=":
                return lambda labels: labels.get(key) != value
            return lambda labels: labels.get(key) == value
    term = term.strip()
    if term.startswith("!"):
        return lambda labels: term[1:].strip() not in labels
    if not term or " " in term:
        raise bad_request(f"unable to parse requirement: found {term!r}, expected: identifier")
    return lambda labels: term in labels


def labels(text: str) -> Predicate:
    """Parse `labelSelector=`."""
    terms = [_label_term(term) for term in _TERMS.split(text) if term.strip()]
    return lambda obj: all(term(obj["metadata"].get("labels") or {}) for term in terms)


def _lookup(obj: Any, path: str) -> str:
    for step in path.split("."):
        obj = obj.get(step) if isinstance(obj, dict) else None
    return "" if obj is None else str(obj)


def fields(text: str) -> Predicate:
    """Parse `fieldSelector=`: equality on any path (real ones allow a few paths per resource)."""
    terms: list[tuple[str, str, bool]] = []
    for term in text.split(","):
        if not term:
            continue
        operator = next((op for op in ("!=", "==", "=") if op in term), None)
        if operator is None:
            raise bad_request(f"invalid selector: {text!r}; can't understand {term!r}")
        path, _, value = term.partition(operator)
        terms.append((path, value, operator != "!="))
    return lambda obj: all((_lookup(obj, path) == value) is equal for path, value, equal in terms)


def matches(selector: Mapping[str, Any] | None, given: Mapping[str, str]) -> bool:
    """Match a LabelSelector object (a Deployment's) against labels. None matches nothing, {} everything."""
    if selector is None:
        return False
    if any(given.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for need in selector.get("matchExpressions") or ():
        key, operator, values = need["key"], need["operator"], need.get("values") or []
        fits = {
            "In": given.get(key) in values,
            "NotIn": given.get(key) not in values,
            "Exists": key in given,
            "DoesNotExist": key not in given,
        }.get(operator, False)
        if not fits:
            return False
    return True


def equal_labels(wanted: Mapping[str, str] | None, given: Mapping[str, str]) -> bool:
    """Match a Service's plain selector; an empty one matches nothing."""
    return bool(wanted) and all(given.get(key) == value for key, value in (wanted or {}).items())


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """Join two optional predicates."""
    if first is None or second is None:
        return first or second
    return lambda obj: first(obj) and second(obj)
