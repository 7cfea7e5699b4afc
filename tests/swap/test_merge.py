"""The rules by which a restore merges, one by one."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from interceptor.swap import SWAP_ANNOTATION, disturbed, record_of, restore, settled, swap, with_record_of
from interceptor.swap.path import text
from tests.swap.test_template import PLAN, app_of, deployment

PUBLIC = replace(PLAN, image="python:3.13-slim")
OWN_PROBE = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1,
             "successThreshold": 1, "failureThreshold": 3}  # fmt: skip


def held(app: dict[str, Any]) -> dict[str, Any]:
    return swap(deployment(app), PUBLIC)


def back(workload: dict[str, Any]) -> dict[str, Any]:
    return app_of(restore(workload).workload)


def test_half_a_probe_goes_back() -> None:
    """A manifest names some of a probe's fields; the others are still ours."""
    workload = held({"readinessProbe": OWN_PROBE})
    app_of(workload)["readinessProbe"] |= {"httpGet": copy.deepcopy(OWN_PROBE["httpGet"]), "periodSeconds": 7}
    restored, kept = restore(workload)
    assert app_of(restored)["readinessProbe"] == OWN_PROBE | {"periodSeconds": 7}
    assert kept == ["spec.template.spec.containers[app].readinessProbe.periodSeconds"]


def test_half_a_handler_goes_back() -> None:
    workload = held({"readinessProbe": OWN_PROBE})
    app_of(workload)["readinessProbe"]["httpGet"]["path"] = "/new"
    assert back(workload)["readinessProbe"]["httpGet"] == {"path": "/new", "port": 8080, "scheme": "HTTP"}


def test_probe_has_one_handler() -> None:
    """Theirs is of another sort: ours and the one before are not put beside it."""
    workload = held({"readinessProbe": {"exec": {"command": ["ok"]}}})
    probe = app_of(workload)["readinessProbe"]
    del probe["httpGet"]
    probe["tcpSocket"] = {"port": 9000}
    restored, kept = restore(workload)
    assert app_of(restored)["readinessProbe"] == {"tcpSocket": {"port": 9000}}
    assert kept == ["spec.template.spec.containers[app].readinessProbe.tcpSocket"]


def test_probe_of_theirs_where_none_was() -> None:
    """What the API server then sets by default is not ours, whatever we had written there."""
    workload = held({})
    app_of(workload)["readinessProbe"] |= {"httpGet": {"path": "/up", "port": 8080, "scheme": "HTTP"}}
    assert back(workload)["readinessProbe"] == {"httpGet": {"path": "/up", "port": 8080, "scheme": "HTTP"}}


def test_our_probe_with_their_number_goes() -> None:
    """A probe that asks the agent would fail for ever."""
    workload = held({})
    app_of(workload)["readinessProbe"]["timeoutSeconds"] = 20
    assert "readinessProbe" not in back(workload)
    workload = held({"livenessProbe": {"exec": {"command": ["ok"]}}})
    app_of(workload)["livenessProbe"]["httpGet"]["path"] = "/new"
    assert back(workload)["livenessProbe"] == {"exec": {"command": ["ok"]}}


def test_probe_taken_away_stays_away() -> None:
    workload = held({"readinessProbe": OWN_PROBE})
    del app_of(workload)["readinessProbe"]
    restored, kept = restore(workload)
    assert "readinessProbe" not in app_of(restored)
    assert kept == ["spec.template.spec.containers[app].readinessProbe"]


def test_changed_volume_of_ours_goes() -> None:
    """Its Secret is about to be deleted: no pod would ever start with it."""
    workload = held({})
    workload["spec"]["template"]["spec"]["volumes"][0]["projected"]["defaultMode"] = 0o400
    restored, kept = restore(workload)
    assert "volumes" not in restored["spec"]["template"]["spec"]
    assert kept == []


def test_their_volume_of_our_name_stays() -> None:
    workload = held({})
    workload["spec"]["template"]["spec"]["volumes"] = [{"name": "interceptor", "emptyDir": {}}]
    assert restore(workload).workload["spec"]["template"]["spec"]["volumes"] == [
        {"name": "interceptor", "emptyDir": {}}
    ]


def test_mounts_are_found_by_path() -> None:
    """Two mounts of one volume have the same name."""
    workload = held({"volumeMounts": [{"name": "data", "mountPath": "/a"}]})
    app_of(workload)["volumeMounts"].insert(0, {"name": "interceptor", "mountPath": "/b"})
    assert back(workload)["volumeMounts"] == [{"name": "data", "mountPath": "/a"}]


def test_copied_container_loses_our_files() -> None:
    """Somebody copies the live container: a mount without its volume would make the API server refuse the restore."""
    workload = held({"command": ["serve"]})
    copied = copy.deepcopy(app_of(workload)) | {"name": "copy"}
    workload["spec"]["template"]["spec"]["initContainers"] = [copied]
    restored = restore(workload).workload["spec"]["template"]["spec"]
    assert restored["initContainers"][0]["volumeMounts"] == []
    assert "volumes" not in restored


def test_renamed_container_goes_back() -> None:
    workload = held({"command": ["serve"], "args": ["-v"]})
    app_of(workload)["name"] = "web"
    restored, kept = restore(workload)
    assert app_of(restored) == {"name": "web", "image": "shop/orders:1", "command": ["serve"], "args": ["-v"]}
    assert kept == []


@pytest.mark.parametrize(
    ("field", "value"), [("image", "shop/orders:2"), ("command", ["serve"]), ("args", ["-x"]), ("workingDir", "/app")]
)
def test_disturbed_places_are_named(field: str, value: Any) -> None:
    workload = held({"command": ["serve"], "args": ["-v"]})
    record = record_of(workload)
    assert record is not None
    assert disturbed(workload, record) == []
    app_of(workload)[field] = value
    assert [text(place) for place in disturbed(workload, record)] == [f"spec.template.spec.containers[app].{field}"]


def test_what_a_webhook_made_of_it_is_ours() -> None:
    """A registry put before every image must not look like somebody's change."""
    workload = held({})
    assert settled(workload) is None
    app_of(workload)["image"] = "mirror/python:3.13-slim"
    told = settled(workload)
    assert told is not None
    record = record_of(told)
    assert record is not None
    assert disturbed(told, record) == []
    assert restore(told) == (deployment({}), [])


def test_lost_record_is_remembered() -> None:
    """Somebody removes the annotation and leaves the agent."""
    before = held({"command": ["serve"]})
    workload = copy.deepcopy(before)
    del workload["metadata"]["annotations"][SWAP_ANNOTATION]
    assert restore(workload).workload == workload
    told = with_record_of(before, workload)
    assert app_of(restore(told).workload) == app_of(deployment({"command": ["serve"]}))
    assert with_record_of(before, before) is before


def test_restored_needs_no_memory() -> None:
    plain = deployment({"command": ["serve"]})
    assert with_record_of(held({"command": ["serve"]}), plain) == plain
