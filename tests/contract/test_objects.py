from __future__ import annotations

from tests.contract.api import APPLY, JSON_PATCH, MERGE, STRATEGIC, Api
from tests.contract.manifests import config_map, container, deployment

APPS = "apps/v1"


async def test_create_twice_conflicts(api: Api) -> None:
    await api.ok("POST", api.path("configmaps"), config_map("one", a="1"))
    status, answer = await api.call("POST", api.path("configmaps"), config_map("one", a="2"))
    assert (status, answer["reason"]) == (409, "AlreadyExists")
    assert answer["message"] == 'configmaps "one" already exists'


async def test_missing_object_named(api: Api) -> None:
    status, answer = await api.call("GET", api.path("deployments", "none", group=APPS))
    assert (status, answer["reason"]) == (404, "NotFound")
    assert answer["message"] == 'deployments.apps "none" not found'
    assert answer["details"] == {"name": "none", "group": "apps", "kind": "deployments"}


async def test_unknown_kind_not_found(api: Api) -> None:
    assert await api.text("/apis/example.invalid/v1/things") == (404, "404 page not found")
    status, answer = await api.call("GET", "/api/v1/things")
    assert (status, answer["reason"]) == (404, "NotFound")
    assert answer["message"] == "the server could not find the requested resource"


async def test_stale_update_conflicts(api: Api) -> None:
    first = await api.ok("POST", api.path("configmaps"), config_map("one", a="1"))
    await api.ok("PUT", api.path("configmaps", "one"), first | {"data": {"a": "2"}})
    status, answer = await api.call("PUT", api.path("configmaps", "one"), first | {"data": {"a": "3"}})
    assert (status, answer["reason"]) == (409, "Conflict")
    assert answer["message"].startswith(
        'Operation cannot be fulfilled on configmaps "one": the object has been modified'
    )


async def test_json_patch_precondition(api: Api) -> None:
    """The version in a JSON Patch is a precondition: this is how we swap and restore."""
    await api.ok("POST", api.path("configmaps"), config_map("one", a="1"))
    patch = [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "2"},
    ]
    status, answer = await api.call("PATCH", api.path("configmaps", "one"), patch, kind=JSON_PATCH)
    assert (status, answer["reason"]) == (409, "Conflict")
    current = await api.get(api.path("configmaps", "one"))
    patch[0]["value"] = current["metadata"]["resourceVersion"]
    assert (await api.ok("PATCH", api.path("configmaps", "one"), patch, kind=JSON_PATCH))["data"] == {"a": "2"}


async def test_merge_patch_precondition(api: Api) -> None:
    made = await api.ok("POST", api.path("configmaps"), config_map("one", a="1", b="2"))
    stale = {"metadata": {"resourceVersion": "1"}, "data": {"a": None}}
    status, answer = await api.call("PATCH", api.path("configmaps", "one"), stale, kind=MERGE)
    assert (status, answer["reason"]) == (409, "Conflict")
    fresh = stale | {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    assert (await api.ok("PATCH", api.path("configmaps", "one"), fresh, kind=MERGE))["data"] == {"b": "2"}


async def test_failed_json_patch_invalid(api: Api) -> None:
    await api.ok("POST", api.path("configmaps"), config_map("one", a="1"))
    for patch in ({"op": "test", "path": "/data/a", "value": "2"}, {"op": "remove", "path": "/data/b"}):
        status, answer = await api.call("PATCH", api.path("configmaps", "one"), [patch], kind=JSON_PATCH)
        assert (status, answer["reason"]) == (422, "Invalid")
        assert answer["message"] == "the server rejected our request due to an error in our request"


async def test_json_patch_reaches_slashes(api: Api) -> None:
    await api.ok("POST", api.path("configmaps"), {"metadata": {"name": "one", "annotations": {"a/b": "1"}}})
    patch = [{"op": "replace", "path": "/metadata/annotations/a~1b", "value": "2"}]
    answer = await api.ok("PATCH", api.path("configmaps", "one"), patch, kind=JSON_PATCH)
    assert answer["metadata"]["annotations"] == {"a/b": "2"}


async def test_nothing_changed_keeps_version(api: Api) -> None:
    made = await api.ok("POST", api.path("configmaps"), config_map("one", a="1"))
    same = await api.ok("PATCH", api.path("configmaps", "one"), {"data": {"a": "1"}}, kind=MERGE)
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_delete_checks_uid(api: Api) -> None:
    made = await api.ok("POST", api.path("configmaps"), config_map("one"))
    other = "00000000-0000-0000-0000-000000000000"
    status, answer = await api.call("DELETE", api.path("configmaps", "one"), {"preconditions": {"uid": other}})
    assert (status, answer["reason"]) == (409, "Conflict")
    assert answer["message"].startswith(
        f'Operation cannot be fulfilled on ConfigMap "one": the UID in the precondition ({other}) '
        "does not match the UID in record"
    )
    gone = await api.ok("DELETE", api.path("configmaps", "one"), {"preconditions": {"uid": made["metadata"]["uid"]}})
    assert gone["status"] == "Success"
    assert (await api.call("GET", api.path("configmaps", "one")))[0] == 404


async def test_dry_run_stores_nothing(api: Api) -> None:
    answer = await api.ok("POST", api.path("configmaps"), config_map("one"), dryRun="All")
    assert answer["metadata"]["uid"]
    assert (await api.call("GET", api.path("configmaps", "one")))[0] == 404


async def test_generation_counts_changes(api: Api) -> None:
    """Of a Deployment the annotations count too, but not the revision that the controller notes there."""
    path = api.path("deployments", "web", group=APPS)
    made = await api.ok("POST", api.path("deployments", group=APPS), deployment("web", container(), replicas=0))
    assert made["metadata"]["generation"] == 1
    await api.eventually(lambda: api.get(path), lambda found: "annotations" in found["metadata"])
    labelled = await api.ok("PATCH", path, {"metadata": {"labels": {"a": "1"}}}, kind=MERGE)
    assert labelled["metadata"]["generation"] == 1
    annotated = await api.ok("PATCH", path, {"metadata": {"annotations": {"a": "1"}}}, kind=MERGE)
    assert annotated["metadata"]["generation"] == 2
    more = await api.ok("PATCH", path, {"spec": {"minReadySeconds": 1}}, kind=MERGE)
    assert more["metadata"]["generation"] == 3


async def test_strategic_patch_merges_by_name(api: Api) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    made = deployment("web", container(env=env), container("side"), replicas=0)
    await api.ok("POST", api.path("deployments", group=APPS), made)
    change = {"name": "app", "env": [{"name": "B", "value": "3"}, {"name": "A", "$patch": "delete"}]}
    patch = {"spec": {"template": {"spec": {"containers": [change]}}}}
    answer = await api.ok("PATCH", api.path("deployments", "web", group=APPS), patch, kind=STRATEGIC)
    containers = answer["spec"]["template"]["spec"]["containers"]
    assert [item["name"] for item in containers] == ["app", "side"]
    assert containers[0]["env"] == [{"name": "B", "value": "3"}]


async def test_apply_owns_its_fields(api: Api) -> None:
    """What a manager no longer applies is removed; what another applied with another value is a conflict."""
    path = api.path("configmaps", "one")
    head = {"apiVersion": "v1", "kind": "ConfigMap"} | config_map("one", a="1", b="2")
    made = await api.ok("PATCH", path, head, kind=APPLY, fieldManager="first")
    assert made["data"] == {"a": "1", "b": "2"}
    less = await api.ok("PATCH", path, head | {"data": {"a": "1"}}, kind=APPLY, fieldManager="first")
    assert less["data"] == {"a": "1"}
    status, answer = await api.call("PATCH", path, head | {"data": {"a": "9"}}, kind=APPLY, fieldManager="second")
    assert (status, answer["reason"]) == (409, "Conflict")
    assert 'conflict with "first"' in answer["message"]
    forced = await api.ok("PATCH", path, head | {"data": {"a": "9"}}, kind=APPLY, fieldManager="second", force="true")
    assert forced["data"] == {"a": "9"}


async def test_selector_must_match_template(api: Api) -> None:
    bad = deployment("web", container())
    bad["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    status, answer = await api.call("POST", api.path("deployments", group=APPS), bad)
    assert (status, answer["reason"]) == (422, "Invalid")
    assert "`selector` does not match template `labels`" in answer["message"]


async def test_selectors_filter_lists(api: Api) -> None:
    for name, tier in (("one", "a"), ("two", "b"), ("three", "")):
        labels = {"tier": tier} if tier else {}
        await api.ok("POST", api.path("configmaps"), {"metadata": {"name": name, "labels": labels}})

    async def names(**params: str) -> list[str]:
        return [item["metadata"]["name"] for item in (await api.ok("GET", api.path("configmaps"), **params))["items"]]

    assert await names(labelSelector="tier=a") == ["one"]
    assert await names(labelSelector="tier in (a,b)") == ["one", "two"]
    assert "three" in await names(labelSelector="!tier")
    assert await names(fieldSelector="metadata.name=two") == ["two"]
