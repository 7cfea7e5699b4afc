"""Fields go back to who set them; the ones in these tests are as a real API server wrote them."""

from __future__ import annotations

import copy
import json
from typing import Any

from interceptor.swap import SWAP_ANNOTATION, first_write, record_of, restore, swap
from interceptor.swap.path import same
from tests.swap.test_template import PLAN, app_of, deployment

Object = dict[str, Any]

APP = 'k:{"name":"app"}'
PROBE = {"httpGet": {"path": "/r", "port": 8080, "scheme": "HTTP"}}


def spec_fields(**fields: Any) -> Object:
    return {"f:spec": {"f:template": {"f:spec": {"f:containers": {APP: {".": {}, "f:name": {}, **fields}}}}}}


def entry(manager: str, fields: Object, operation: str = "Update", **more: str) -> Object:
    return {"manager": manager, "operation": operation, "apiVersion": "apps/v1", "time": "2026-11-23T08:00:52Z",
            "fieldsType": "FieldsV1", "fieldsV1": fields, **more}  # fmt: skip


KUBECTL = entry(
    "kubectl",
    spec_fields(**{"f:command": {}, "f:image": {}, "f:readinessProbe": {"f:httpGet": {"f:path": {}, "f:port": {}}}}),
    "Apply",
)
CONTROLLER = entry("kube-controller-manager", {"f:status": {"f:replicas": {}}}, subresource="status")


def held() -> tuple[Object, Object]:
    """A workload before, and as the API server has it after the swap: our fields are ours."""
    before = deployment({"command": ["serve"], "readinessProbe": copy.deepcopy(PROBE)})
    before["metadata"]["managedFields"] = [copy.deepcopy(KUBECTL), copy.deepcopy(CONTROLLER)]
    swapped = swap(before, PLAN)
    mine = entry("interceptor", spec_fields(**{"f:command": {}, "f:readinessProbe": {"f:httpGet": {"f:path": {}}}}))
    swapped["metadata"]["managedFields"] = [
        entry("kubectl", spec_fields(**{"f:image": {}}), "Apply"), mine, copy.deepcopy(CONTROLLER)
    ]  # fmt: skip
    return before, swapped


def test_owners_get_their_fields_back() -> None:
    before, swapped = held()
    assert same(restore(swapped).workload, before)


def test_record_names_the_losers() -> None:
    _, swapped = held()
    record = record_of(swapped)
    assert record is not None
    [loser] = record.owners
    assert loser["manager"] == "kubectl"
    container = loser["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"][APP]
    assert container.keys() == {"f:command", "f:readinessProbe"}


def test_fields_go_first_and_the_record_last() -> None:
    """The API server calls ours whatever we write: only a write without fields can give them back."""
    before, swapped = held()
    first = first_write(swapped)
    assert first is not None
    assert first["spec"] == before["spec"]
    assert first["metadata"]["managedFields"] == swapped["metadata"]["managedFields"]
    assert SWAP_ANNOTATION in first["metadata"]["annotations"]
    assert first_write(first) is None  # whoever finds it so has only the last write to do
    assert same(restore(first).workload, before)


def test_without_owners_one_write_does() -> None:
    assert first_write(swap(deployment({}), PLAN)) is None


def test_theirs_is_not_given_away() -> None:
    """Somebody else owns the command by now."""
    _, swapped = held()
    app_of(swapped)["command"] = ["theirs"]
    swapped["metadata"]["managedFields"].append(entry("kubectl-edit", spec_fields(**{"f:command": {}})))
    managed = restore(swapped).workload["metadata"]["managedFields"]
    assert [one["manager"] for one in managed] == ["kubectl", "kube-controller-manager", "kubectl-edit"]
    assert "f:command" not in json.dumps(managed[0])
    assert "f:readinessProbe" in json.dumps(managed[0])


def test_vanished_owner_comes_back() -> None:
    """All that an owner had was ours for a while: then the API server drops its entry."""
    before, swapped = held()
    swapped["metadata"]["managedFields"].pop(0)
    managed = restore(swapped).workload["metadata"]["managedFields"]
    assert [one["manager"] for one in managed] == ["kube-controller-manager", "kubectl"]
    assert managed[1]["time"] == before["metadata"]["managedFields"][0]["time"]


def test_agents_fields_are_ours_too() -> None:
    before, swapped = held()
    swapped["metadata"]["managedFields"].append(entry("interceptor-agent", spec_fields(**{"f:command": {}})))
    assert same(restore(swapped).workload, before)


def test_removed_container_owns_nothing() -> None:
    _, swapped = held()
    del swapped["spec"]["template"]["spec"]["containers"][0]
    managed = restore(swapped).workload["metadata"]["managedFields"]
    assert "f:command" not in json.dumps(managed)
