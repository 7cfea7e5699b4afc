"""What NetworkPolicies select and admit."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.mesh.check.workload.network import rule_admits, selected

LABELS = {"app": "orders", "tier": "web"}


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ({}, True),
        ({"matchLabels": {"app": "orders"}}, True),
        ({"matchLabels": {"app": "books"}}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selects(selector: dict[str, Any], chosen: bool) -> None:
    assert selected(selector, LABELS) is chosen


@pytest.mark.parametrize(
    ("rule", "admitted"),
    [
        ({}, True),
        ({"from": [{"podSelector": {}}]}, True),
        ({"ports": [{"port": 8080}]}, True),
        ({"ports": [{"port": "http"}]}, True),
        ({"ports": [{"port": "web"}]}, False),
        ({"ports": [{"port": 8000, "endPort": 8100}]}, True),
        ({"ports": [{"protocol": "TCP"}]}, True),
        ({"ports": [{"port": 9090}]}, False),
    ],
)
def test_admits(rule: dict[str, Any], admitted: bool) -> None:
    assert rule_admits(rule, 8080, {"http": 8080}) is admitted
