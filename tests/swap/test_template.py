"""What the agent's place in a container looks like."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from interceptor.errors import InterceptorError
from interceptor.swap import (
    SESSION_ANNOTATION,
    SWAP_ANNOTATION,
    AlreadySwapped,
    SwapPlan,
    record_of,
    swap,
)
from tests.swap.workloads import Workload, some, swaps

PLAN = SwapPlan(
    session="orders-x7f2q",
    container="app",
    command=("python3", "-I", "/var/run/interceptor/agent.pyz"),
    holder="ana@laptop",
    since="2026-11-23 04:28 UTC",
    health_port=47812,
    secret="interceptor-orders-x7f2q",
)


def deployment(app: dict[str, Any], **pod: Any) -> Workload:
    spec = {"containers": [{"name": "app", "image": "shop/orders:1", **app}, {"name": "other"}], **pod}
    return {"metadata": {"name": "orders"}, "spec": {"template": {"metadata": {}, "spec": spec}}}


def app_of(workload: Workload) -> dict[str, Any]:
    app: dict[str, Any] = workload["spec"]["template"]["spec"]["containers"][0]
    return app


def test_runs_the_agent() -> None:
    app = app_of(swap(deployment({"command": ["serve"], "args": ["-v"], "workingDir": "/app"}), PLAN))
    assert app["command"] == ["python3", "-I", "/var/run/interceptor/agent.pyz"]
    assert "args" not in app
    assert app["workingDir"] == "/app"


def test_other_image_has_no_directory_of_the_apps() -> None:
    app = app_of(swap(deployment({"workingDir": "/app"}), replace(PLAN, image="python:3.13-slim")))
    assert app["workingDir"] == "/"


def test_own_image_stays() -> None:
    app = app_of(swap(deployment({}), PLAN))
    assert app["image"] == "shop/orders:1"
    assert "imagePullPolicy" not in app


def test_other_image_is_pulled_once() -> None:
    app = app_of(swap(deployment({"imagePullPolicy": "Always"}), replace(PLAN, image="python:3.13-slim")))
    assert (app["image"], app["imagePullPolicy"]) == ("python:3.13-slim", "IfNotPresent")


def test_agent_answers_probes() -> None:
    own = {"exec": {"command": ["true"]}, "periodSeconds": 10}
    app = app_of(swap(deployment({"livenessProbe": own, "readinessProbe": own, "startupProbe": own}), PLAN))
    for name, path in (("livenessProbe", "/live"), ("readinessProbe", "/ready"), ("startupProbe", "/started")):
        assert app[name]["httpGet"] == {"path": path, "port": 47812, "scheme": "HTTP"}
        assert "exec" not in app[name]


def test_readiness_is_always_asked() -> None:
    app = app_of(swap(deployment({}), PLAN))
    assert app["readinessProbe"]["periodSeconds"] == 1
    assert "livenessProbe" not in app
    assert "startupProbe" not in app


def test_lifecycle_hooks_go() -> None:
    assert "lifecycle" not in app_of(swap(deployment({"lifecycle": {"preStop": {}}}), PLAN))


def test_files_are_mounted() -> None:
    swapped = swap(deployment({}), PLAN)
    [volume] = swapped["spec"]["template"]["spec"]["volumes"]
    assert app_of(swapped)["volumeMounts"] == [
        {"name": "interceptor", "mountPath": "/var/run/interceptor", "readOnly": True}
    ]
    assert volume["projected"]["defaultMode"] == 0o444
    assert [list(source) for source in volume["projected"]["sources"]] == [["secret"], ["configMap"]]


def test_taken_volume_name_is_avoided() -> None:
    swapped = swap(deployment({}, volumes=[{"name": "interceptor", "emptyDir": {}}]), PLAN)
    assert [volume["name"] for volume in swapped["spec"]["template"]["spec"]["volumes"]] == [
        "interceptor",
        "interceptor-2",
    ]


@pytest.mark.parametrize(
    ("own", "pod", "image", "user"),
    [
        (None, {"runAsNonRoot": True}, "python:3.13-slim", 65532),
        ({"runAsNonRoot": True}, None, "python:3.13-slim", 65532),
        ({"runAsNonRoot": True, "runAsUser": 7}, None, "python:3.13-slim", 7),
        ({"runAsNonRoot": False}, {"runAsNonRoot": True}, "python:3.13-slim", None),
        (None, {"runAsNonRoot": True, "runAsUser": 7}, "python:3.13-slim", None),
        (None, {"runAsNonRoot": True}, None, None),
        (None, None, "python:3.13-slim", None),
    ],
)
def test_user_where_none_is_named(own: Any, pod: Any, image: str | None, user: int | None) -> None:
    workload = deployment({"securityContext": own} if own else {}, **({"securityContext": pod} if pod else {}))
    app = app_of(swap(workload, replace(PLAN, image=image)))
    assert app.get("securityContext", {}).get("runAsUser") == user


def test_pods_carry_the_session() -> None:
    template = swap(deployment({}), PLAN)["spec"]["template"]
    assert template["metadata"]["annotations"] == {SESSION_ANNOTATION: "orders-x7f2q"}


def test_record_names_the_holder() -> None:
    swapped = swap(deployment({"args": ["-v"]}), PLAN)
    record = record_of(swapped)
    assert record is not None
    assert (record.session, record.holder, record.since) == (PLAN.session, PLAN.holder, PLAN.since)
    entries = json.loads(swapped["metadata"]["annotations"][SWAP_ANNOTATION])["changes"]
    [args] = [entry for entry in entries if entry["path"][-1] == "args"]
    assert args["before"] == ["-v"]
    assert "after" not in args


def test_second_swap_is_refused() -> None:
    with pytest.raises(AlreadySwapped, match="ana@laptop since 2026"):
        swap(swap(deployment({}), PLAN), PLAN)


def test_unknown_container_is_refused() -> None:
    with pytest.raises(InterceptorError, match="no container 'web'"):
        swap(deployment({}), replace(PLAN, container="web"))


def test_damaged_record_is_told() -> None:
    workload = {"metadata": {"annotations": {SWAP_ANNOTATION: "{"}}}
    with pytest.raises(InterceptorError, match="damaged"):
        record_of(workload)


@some
@given(swaps())
def test_given_object_is_untouched(case: tuple[Workload, SwapPlan]) -> None:
    workload, plan = case
    given_workload = copy.deepcopy(workload)
    swap(workload, plan)
    assert workload == given_workload


@some
@given(swaps())
def test_other_containers_are_untouched(case: tuple[Workload, SwapPlan]) -> None:
    workload, plan = case

    def others(value: Workload) -> list[Any]:
        found = value["spec"]["template"]["spec"]["containers"]
        return [container for container in found if container["name"] != plan.container]

    assert others(swap(workload, plan)) == others(workload)
