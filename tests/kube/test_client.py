from __future__ import annotations

from typing import Any

import pytest

from interceptor.kube import Cluster
from interceptor.kube.resources import PODS, SERVICE_ACCOUNTS
from tests.kube.apiserver import ApiServer

DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/orders"
THING: dict[str, Any] = {"metadata": {"name": "orders", "uid": "1", "resourceVersion": "7"}}


async def test_access_reviews_are_asked(cluster: Cluster, server: ApiServer) -> None:
    server.answer(
        "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        (201, {"status": {"allowed": False, "reason": "no role"}}),
    )
    assert await cluster.allowed("create", PODS, "shop", subresource="portforward") == (False, "no role")
    assert server.seen[0].body["spec"]["resourceAttributes"] == {
        "verb": "create",
        "resource": "pods",
        "namespace": "shop",
        "subresource": "portforward",
    }


async def test_old_servers_leave_the_name_to_us(cluster: Cluster, server: ApiServer) -> None:
    assert await cluster.whoami() == "jane"
    server.answer(
        "POST /apis/authentication.k8s.io/v1/selfsubjectreviews",
        (201, {"status": {"userInfo": {"username": "jane@example.com"}}}),
    )
    assert await cluster.whoami() == "jane@example.com"


async def test_tokens_are_requested(cluster: Cluster, server: ApiServer) -> None:
    path = SERVICE_ACCOUNTS.path("shop", "agent", "token")
    answer = {"status": {"token": "t", "expirationTimestamp": "2030-01-01T00:00:00Z"}}
    server.answer(f"POST {path}", (201, answer))
    assert await cluster.token("shop", "agent", 600) == ("t", "2030-01-01T00:00:00Z")
    assert server.seen[0].body["spec"] == {"expirationSeconds": 600}


async def test_use_outside_is_an_error(cluster: Cluster) -> None:
    with pytest.raises(RuntimeError, match="outside of its"):
        await Cluster(cluster.access).version()
