"""Names and bodies of what a session writes."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.workload import objects
from interceptor.workload.names import lease_name, new_session, object_name
from interceptor.workload.objects import SessionNames
from interceptor.workload.podlist import PodQuery
from interceptor.workload.ports import PortMap

NAMES = SessionNames("orders-x7f2q", "shop", "orders")
DEPLOYMENT: dict[str, Any] = {"kind": "Deployment", "metadata": {"name": "orders"}, "spec": {}}
OWNER = {"kind": "Job", "name": "interceptor-orders-x7f2q", "uid": "u"}
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
workload_names = st.from_regex(DNS_NAME, fullmatch=True).filter(lambda name: len(name) <= 253)


@settings(max_examples=50)
@given(workload_names)
def test_any_workload_has_a_session(name: str) -> None:
    session = new_session(name)
    assert len(object_name(session)) <= 63
    assert DNS_NAME.fullmatch(object_name(session))
    assert "." not in session


def test_sessions_differ() -> None:
    assert len({new_session("orders") for _ in range(50)}) == 50


@settings(max_examples=50)
@given(workload_names, workload_names)
def test_leases_differ_as_workloads_do(one: str, other: str) -> None:
    assert DNS_NAME.fullmatch(lease_name("Deployment", one))
    assert len(lease_name("Deployment", one)) <= 253
    assert (lease_name("Deployment", one) == lease_name("Deployment", other)) == (one == other)


def test_long_names_keep_their_own_lease() -> None:
    assert lease_name("Deployment", "a" * 252 + "b") != lease_name("Deployment", "a" * 252 + "c")
    assert lease_name("Deployment", "orders") == "interceptor-deployment-orders"


def test_all_belong_to_the_session() -> None:
    now = datetime.now(UTC)
    bodies = [
        objects.lease(NAMES, OWNER, "ana@laptop", now, 15),
        objects.service_account(NAMES, OWNER),
        objects.role(NAMES, OWNER, DEPLOYMENT),
        objects.role_binding(NAMES, OWNER),
        objects.secret(NAMES, OWNER, {}),
    ]
    for body in bodies:
        assert body["metadata"]["ownerReferences"] == [OWNER]
        assert body["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "interceptor"
        assert body["metadata"]["labels"]["interceptor/session"] == "orders-x7f2q"
        assert body["metadata"]["namespace"] == "shop"


def test_lease_names_the_holder() -> None:
    body = objects.lease(NAMES, OWNER, "ana@laptop", datetime(2026, 11, 23, 4, 28, tzinfo=UTC), 15)
    assert body["metadata"]["name"] == "interceptor-deployment-orders"
    assert body["spec"]["holderIdentity"] == "ana@laptop/orders-x7f2q"
    assert body["spec"]["renewTime"] == "2026-11-23T04:28:00.000000Z"


def test_role_names_each_object() -> None:
    rules = objects.role(NAMES, OWNER, DEPLOYMENT)["rules"]
    assert [(rule["resources"], rule.get("resourceNames"), rule["verbs"]) for rule in rules] == [
        (["deployments"], ["orders"], ["get", "patch"]),
        (["leases"], ["interceptor-deployment-orders"], ["get"]),
        (["jobs"], ["interceptor-orders-x7f2q"], ["get", "delete"]),
        (["pods"], None, ["list"]),
    ]


def test_secret_carries_bytes() -> None:
    data = objects.secret(NAMES, OWNER, {"agent.pyz": b"PK\x00\xff"})["data"]
    assert base64.b64decode(data["agent.pyz"]) == b"PK\x00\xff"


def test_config_as_the_agent_reads_it() -> None:
    config = json.loads(
        objects.config(
            NAMES,
            holder="ana@laptop",
            tunnel_port=47811,
            health_port=47812,
            ports=(PortMap(9000, 8080, "http"), PortMap(53, 53, "dns", "UDP")),
            pods=PodQuery(label="app=orders"),
        )
    )
    assert config == {
        "session": "orders-x7f2q", "namespace": "shop", "tunnel_port": 47811, "health_port": 47812, "ports": [8080],
        "datagrams": [53],
        "hold": 10.0, "grace": 30.0, "lost_after": 3.0, "silent_after": 15.0, "guard": True, "holder": "ana@laptop",
        "kind": "Deployment", "workload": "/apis/apps/v1/namespaces/shop/deployments/orders",
        "lease": "/apis/coordination.k8s.io/v1/namespaces/shop/leases/interceptor-deployment-orders",
        "pods": "/api/v1/namespaces/shop/pods?labelSelector=app%3Dorders",
        "owner": "/apis/batch/v1/namespaces/shop/jobs/interceptor-orders-x7f2q",
        "alone": 0.0, "policy": False, "app": None,
    }  # fmt: skip
