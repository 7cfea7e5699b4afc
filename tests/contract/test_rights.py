from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.contract.api import APPLY, Api, Object
from tests.contract.manifests import config_map

RBAC = "rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"


async def account(api: Api, *rules: Object, name: str = "agent", seconds: int = 600) -> Api:
    """A ServiceAccount with a Role, and the same API with its token."""
    await api.ok("POST", api.path("serviceaccounts"), {"metadata": {"name": name}})
    if rules:
        await api.ok("POST", api.path("roles", group=RBAC), {"metadata": {"name": name}, "rules": list(rules)})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": api.namespace}],
        }
        await api.ok("POST", api.path("rolebindings", group=RBAC), binding)
    body: Object = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": seconds},
    }
    answer = await api.ok("POST", api.path("serviceaccounts", name, "token"), body)
    assert answer["status"]["expirationTimestamp"]
    return api.acting_as(answer["status"]["token"])


def rule(group: str, resource: str, *verbs: str, **more: Any) -> Object:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs), **more}


async def allowed(call: Any, within: float = 10.0) -> tuple[int, Object]:
    """RBAC of a real cluster learns of a new Role a moment later."""
    deadline = time.monotonic() + within
    while True:
        answer: tuple[int, Object] = await call()
        if answer[0] != 403 or time.monotonic() > deadline:
            return answer
        await asyncio.sleep(0.1)


async def test_role_names_one_object(api: Api) -> None:
    for name in ("one", "two"):
        await api.ok("POST", api.path("configmaps"), config_map(name))
    agent = await account(api, rule("", "configmaps", "get", resourceNames=["one"]))
    status, _ = await allowed(lambda: agent.call("GET", api.path("configmaps", "one")))
    assert status == 200
    user = f"system:serviceaccount:{api.namespace}:agent"
    status, answer = await agent.call("GET", api.path("configmaps", "two"))
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert answer["message"] == (
        f'configmaps "two" is forbidden: User "{user}" cannot get resource "configmaps" in API group "" '
        f'in the namespace "{api.namespace}"'
    )
    status, answer = await agent.call("GET", api.path("deployments", group="apps/v1"))
    assert answer["message"] == (
        f'deployments.apps is forbidden: User "{user}" cannot list resource "deployments" in API group "apps" '
        f'in the namespace "{api.namespace}"'
    )
    status, answer = await agent.call("GET", "/api/v1/nodes")
    assert answer["message"] == (
        f'nodes is forbidden: User "{user}" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    status, answer = await agent.call("GET", api.path("pods", "one", "log"))
    assert answer["message"] == (
        f'pods "one" is forbidden: User "{user}" cannot get resource "pods/log" in API group "" '
        f'in the namespace "{api.namespace}"'
    )
    status, answer = await agent.call("GET", f"/api/v1/namespaces/{api.namespace}")
    assert answer["message"] == (
        f'namespaces "{api.namespace}" is forbidden: User "{user}" cannot get resource "namespaces" in API group "" '
        f'in the namespace "{api.namespace}"'
    )


async def test_token_names_its_account(api: Api) -> None:
    agent = await account(api)
    review = await agent.ok("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {"metadata": {}})
    info = review["status"]["userInfo"]
    assert info["username"] == f"system:serviceaccount:{api.namespace}:agent"
    groups = {"system:serviceaccounts", f"system:serviceaccounts:{api.namespace}", "system:authenticated"}
    assert set(info["groups"]) == groups


async def test_wrong_token_unauthorized(api: Api) -> None:
    status, answer = await api.acting_as("nonsense").call("GET", api.path("configmaps"))
    assert (status, answer["reason"], answer["message"]) == (401, "Unauthorized", "Unauthorized")


async def test_short_token_refused(api: Api) -> None:
    await api.ok("POST", api.path("serviceaccounts"), {"metadata": {"name": "agent"}})
    body: Object = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 60}}
    status, answer = await api.call("POST", api.path("serviceaccounts", "agent", "token"), body)
    assert (status, answer["reason"]) == (422, "Invalid")
    assert "may not specify a duration less than 10 minutes" in answer["message"]


async def test_token_dies_with_account(api: Api) -> None:
    """This is why the guard gives up its session object last."""
    agent = await account(api, rule("", "configmaps", "list"))
    assert (await allowed(lambda: agent.call("GET", api.path("configmaps"))))[0] == 200
    await api.ok("DELETE", api.path("serviceaccounts", "agent"))
    await api.ok("DELETE", api.path("rolebindings", "agent", group=RBAC))
    await api.eventually(lambda: agent.call("GET", api.path("configmaps")), lambda answer: answer[0] in (401, 403))


async def test_access_review_answers(api: Api) -> None:
    agent = await account(api, rule("", "pods/portforward", "get", "create"))

    async def may(verb: str, **attributes: str) -> bool:
        spec = {"resourceAttributes": {"verb": verb, "namespace": api.namespace} | attributes}
        review = await agent.ok("POST", f"{REVIEWS}/selfsubjectaccessreviews", {"spec": spec})
        return bool(review["status"]["allowed"])

    await api.eventually(lambda: may("create", resource="pods", subresource="portforward"), bool)
    assert not await may("delete", resource="pods")
    assert not await may("create", resource="pods")


async def test_rules_review_lists(api: Api) -> None:
    agent = await account(api, rule("apps", "deployments", "get", "patch", resourceNames=["web"]))

    async def rules() -> list[Object]:
        answer = await agent.ok("POST", f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": api.namespace}})
        listed: list[Object] = answer["status"]["resourceRules"]
        return listed

    wanted = {"verbs": ["get", "patch"], "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"]}
    await api.eventually(rules, lambda found: wanted in found)


async def test_rights_cannot_be_made(api: Api) -> None:
    """Who may create Roles may still not give what they don't have."""
    agent = await account(api, rule("rbac.authorization.k8s.io", "roles", "create"), rule("", "configmaps", "get"))
    fine = {"metadata": {"name": "fine"}, "rules": [rule("", "configmaps", "get", resourceNames=["one"])]}
    assert (await allowed(lambda: agent.call("POST", api.path("roles", group=RBAC), fine)))[0] == 201
    more = {"metadata": {"name": "more"}, "rules": [rule("", "secrets", "get")]}
    status, answer = await agent.call("POST", api.path("roles", group=RBAC), more)
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert "is attempting to grant RBAC permissions not currently held:" in answer["message"]
    assert '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}' in answer["message"]


async def test_edit_may_not_make_roles(api: Api) -> None:
    """The stock role of developers: enough for most, but not for the guard's Role."""
    api.headers |= {"Impersonate-User": "jane"}
    binding = {
        "metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    jane = dict(api.headers)
    api.headers.pop("Impersonate-User")
    await api.ok("POST", api.path("rolebindings", group=RBAC), binding)
    admin, api.headers = api.headers, jane
    try:
        status, _ = await allowed(lambda: api.call("POST", api.path("configmaps"), config_map("one")))
        assert status == 201
        status, answer = await api.call("POST", api.path("roles", group=RBAC), {"metadata": {"name": "r"}, "rules": []})
        assert status == 403
        assert (
            'User "jane" cannot create resource "roles" in API group "rbac.authorization.k8s.io"' in answer["message"]
        )
    finally:
        api.headers = admin


async def test_patch_needs_its_verb(api: Api) -> None:
    agent = await account(api, rule("", "configmaps", "create"))
    head = {"apiVersion": "v1", "kind": "ConfigMap"} | config_map("one")
    status, answer = await agent.call("PATCH", api.path("configmaps", "one"), head, kind=APPLY, fieldManager="m")
    assert status == 403
    assert 'cannot patch resource "configmaps"' in answer["message"]
