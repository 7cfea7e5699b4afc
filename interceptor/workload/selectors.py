"""Label selectors as the API writes them; `target`, `ports`, `inspect` and `rollout` ask which pods belong to whom."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def selects(selector: dict[str, str], workload: Object) -> bool:
    """Whether a Service with this selector sends to the pods of a workload."""
    return matches(selector, (workload["spec"]["template"].get("metadata") or {}).get("labels") or {})


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether labels are those that a Service's selector asks for; an empty one asks for nothing and gets nothing."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def label_selector_matches(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether labels are those that a LabelSelector asks for: an empty one asks for nothing and gets everything."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for expression in selector.get("matchExpressions") or []:
        value, values = labels.get(expression["key"]), expression.get("values") or []
        agrees = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not agrees.get(expression["operator"], False):
            return False
    return True


def pods_query(workload: Object) -> str:
    """A workload's selector as the `labelSelector` of a list or watch."""
    selector = workload["spec"]["selector"]
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(expression.get("values") or [])
        match expression["operator"]:
            case "In":
                terms.append(f"{key} in ({values})")
            case "NotIn":
                terms.append(f"{key} notin ({values})")
            case "Exists":
                terms.append(key)
            case "DoesNotExist":
                terms.append(f"!{key}")
    return ",".join(terms)
