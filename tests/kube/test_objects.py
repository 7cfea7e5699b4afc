from __future__ import annotations

from typing import Any

import pytest

from interceptor.kube import Cluster, Conflict, Forbidden, Invalid, NotFound
from interceptor.kube.resources import DEPLOYMENTS, NAMESPACES, PODS
from tests.kube.apiserver import ApiServer, status

DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/orders"
THING: dict[str, Any] = {"metadata": {"name": "orders", "uid": "1", "resourceVersion": "7"}}


def test_paths_are_the_apis() -> None:
    assert DEPLOYMENTS.path("shop", "orders", "scale") == DEPLOYMENT + "/scale"
    assert PODS.path(None) == "/api/v1/pods"
    assert NAMESPACES.path("shop", "shop") == "/api/v1/namespaces/shop"
    assert PODS.path("shop", "../x y") == "/api/v1/namespaces/shop/pods/..%2Fx%20y"


async def test_each_verb_is_sent_right(cluster: Cluster, server: ApiServer) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        server.answer(f"{method} {DEPLOYMENT}", (200, THING))
    server.answer("POST /apis/apps/v1/namespaces/shop/deployments", (201, THING))
    assert await cluster.get(DEPLOYMENTS, "shop", "orders") == THING
    await cluster.create(DEPLOYMENTS, "shop", THING, dry_run=True)
    await cluster.patch(DEPLOYMENTS, "shop", "orders", [{"op": "test", "path": "/a", "value": 1}])
    await cluster.patch(DEPLOYMENTS, "shop", "orders", {"spec": None}, dry_run=True)
    await cluster.replace(DEPLOYMENTS, "shop", "orders", THING)
    await cluster.delete(DEPLOYMENTS, "shop", "orders", uid="1", grace=0)
    assert [(seen.method, seen.headers.get("Content-Type"), seen.query) for seen in server.seen] == [
        ("GET", None, {}),
        ("POST", "application/json", {"dryRun": "All"}),
        ("PATCH", "application/json-patch+json", {}),
        ("PATCH", "application/merge-patch+json", {"dryRun": "All"}),
        ("PUT", "application/json", {}),
        ("DELETE", "application/json", {}),
    ]
    assert server.seen[-1].body == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": "1"},
        "gracePeriodSeconds": 0,
    }
    assert all(seen.headers["Authorization"] == "Bearer secret" for seen in server.seen)
    assert all(seen.headers["User-Agent"].startswith("interceptor/") for seen in server.seen)


async def test_pages_become_one_list(cluster: Cluster, server: ApiServer) -> None:
    server.answer(
        "GET /apis/apps/v1/deployments",
        (200, {"metadata": {"resourceVersion": "5", "continue": "c1"}, "items": [{"metadata": {"name": "a"}}]}),
        (200, {"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": "b"}}]}),
    )
    listing = await cluster.list(DEPLOYMENTS, None, label_selector="app=x", field_selector="metadata.name!=c")
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert listing.resource_version == "5"
    assert listing.items[0]["kind"] == "Deployment"
    assert server.seen[0].query == {"labelSelector": "app=x", "fieldSelector": "metadata.name!=c", "limit": "500"}
    assert server.seen[1].query["continue"] == "c1"


async def test_expired_page_begins_the_list_again(cluster: Cluster, server: ApiServer) -> None:
    first = (200, {"metadata": {"continue": "c1"}, "items": [{"metadata": {"name": "a"}}]})
    whole = (200, {"metadata": {"resourceVersion": "6"}, "items": [{"metadata": {"name": "a"}}]})
    server.answer("GET /api/v1/pods", first, status(410, "Expired"), whole)
    assert len((await cluster.list(PODS, None)).items) == 1


async def test_missing_right_is_named(cluster: Cluster, server: ApiServer) -> None:
    text = (
        'deployments.apps "orders" is forbidden: User "jane" cannot patch resource "deployments/scale"'
        ' in API group "apps" in the namespace "shop"'
    )
    server.answer(f"PATCH {DEPLOYMENT}", status(403, "Forbidden", text))
    with pytest.raises(Forbidden) as told:
        await cluster.patch(DEPLOYMENTS, "shop", "orders", {})
    assert (told.value.verb, told.value.resource, told.value.namespace) == ("patch", "deployments.apps/scale", "shop")
    assert told.value.message == "no right to patch deployments.apps/scale in namespace shop"
    assert told.value.hint.endswith("kubectl auth can-i patch deployments.apps --subresource=scale -n shop")


async def test_other_refusal_keeps_the_callers_words(cluster: Cluster, server: ApiServer) -> None:
    server.answer(f"GET {DEPLOYMENT}", status(403, "Forbidden", "admission webhook says no"))
    with pytest.raises(Forbidden, match="admission webhook says no") as told:
        await cluster.get(DEPLOYMENTS, "shop", "orders")
    assert (told.value.verb, told.value.resource) == ("get", "deployments.apps")


async def test_long_messages_are_cut(cluster: Cluster, server: ApiServer) -> None:
    server.answer(f"PATCH {DEPLOYMENT}", status(422, "Invalid", "x" * 5000))
    with pytest.raises(Invalid) as told:
        await cluster.patch(DEPLOYMENTS, "shop", "orders", [])
    assert len(told.value.message) < 350
    assert (told.value.status, told.value.reason) == (422, "Invalid")


async def test_conflicts_are_told_apart(cluster: Cluster, server: ApiServer) -> None:
    server.answer(f"PUT {DEPLOYMENT}", status(409, "Conflict", "the object has been modified"))
    with pytest.raises(Conflict, match=r"can't update deployments.apps 'orders' in namespace shop"):
        await cluster.replace(DEPLOYMENTS, "shop", "orders", THING)
    server.answer("POST /apis/apps/v1/namespaces/shop/deployments", status(409, "AlreadyExists"))
    with pytest.raises(Exception, match="can't create") as told:
        await cluster.create(DEPLOYMENTS, "shop", THING)
    assert type(told.value).__name__ == "AlreadyExists"


async def test_plain_text_answers_are_errors(cluster: Cluster, server: ApiServer) -> None:
    with pytest.raises(NotFound, match="/version not found"):
        await cluster.version()
