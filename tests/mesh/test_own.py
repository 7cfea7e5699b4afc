"""Whether this client can do its work here."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from interceptor.kube.resources import DEPLOYMENTS, PODS
from interceptor.mesh.check.model import Row
from interceptor.workload.allowed import allows
from interceptor.workload.rights import Right
from tests.mesh.api import MeshApi
from tests.mesh.conftest import Checked

CLOCK = "clocks of cluster and client agree"
INTERCEPT = "you may intercept, restore and list"


async def row(checked: Checked, sentence: str) -> Row:
    (found,) = [row for row in await checked(own=True, namespace="shop") if row.sentence == sentence]
    return found


@pytest.mark.parametrize(("minutes", "word"), [(10, "behind"), (-10, "ahead of")])
async def test_wrong_clock_is_found(api: MeshApi, checked: Checked, minutes: int, word: str) -> None:
    api.date = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    found = await row(checked, CLOCK)
    assert found.result == "warning"
    assert f"s {word} the cluster's" in found.error
    assert found.next == "set the clock: timedatectl set-ntp true"


async def test_right_clock_passes(checked: Checked) -> None:
    assert (await row(checked, CLOCK)).result == "success"


async def test_lacking_rights_are_named(api: MeshApi, checked: Checked) -> None:
    api.rules = [{"verbs": ["get", "list", "watch"], "apiGroups": ["*"], "resources": ["*"]}]
    found = await row(checked, INTERCEPT)
    assert found.result == "warning"
    assert "create jobs.batch" in found.error
    assert "get pods" not in found.error
    assert found.next == "interceptor rbac -n shop"


async def test_image_on_a_node_is_named(api: MeshApi, checked: Checked) -> None:
    api.find("Node", "ground")["status"]["images"] = [{"names": ["docker.io/library/python:3.13-slim"]}]
    assert (await row(checked, "agent image is reachable")).detail == "python:3.13-slim is on a node"


RULE: dict[str, Any] = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}


@pytest.mark.parametrize(
    ("rule", "right", "allowed"),
    [
        (RULE, Right("get", PODS), True),
        (RULE, Right("list", PODS), False),
        (RULE, Right("get", PODS, "log"), False),
        (RULE, Right("get", DEPLOYMENTS), False),
        ({**RULE, "resources": ["*"]}, Right("get", PODS, "log"), True),
        ({**RULE, "resources": ["pods/*"]}, Right("get", PODS, "log"), False),
        ({**RULE, "resources": ["*/log"]}, Right("get", PODS, "log"), True),
        ({**RULE, "resourceNames": ["one"]}, Right("get", PODS), False),
        ({**RULE, "resourceNames": ["one"]}, Right("get", PODS, name="one"), True),
        ({**RULE, "resourceNames": ["one"]}, Right("get", PODS, name="other"), False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, Right("patch", DEPLOYMENTS), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}, Right("get", PODS), False),
    ],
)
def test_rules_are_read_as_rbac_does(rule: dict[str, Any], right: Right, allowed: bool) -> None:
    assert allows(rule, right) is allowed
