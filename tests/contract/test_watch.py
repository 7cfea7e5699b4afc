from __future__ import annotations

from tests.contract.api import MERGE, Api
from tests.contract.manifests import config_map


async def test_watch_tells_all_changes(api: Api) -> None:
    version = (await api.get(api.path("configmaps")))["metadata"]["resourceVersion"]
    await api.ok("POST", api.path("configmaps"), config_map("one", a="1"))
    await api.ok("PATCH", api.path("configmaps", "one"), {"data": {"a": "2"}}, kind=MERGE)
    await api.ok("DELETE", api.path("configmaps", "one"))
    seen = []
    async with api.watch(api.path("configmaps"), resourceVersion=version, fieldSelector="metadata.name=one") as events:
        async for event in events:
            seen.append((event["type"], event["object"]["data"]["a"]))
            if event["type"] == "DELETED":
                break
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


async def test_watch_starts_with_present(api: Api) -> None:
    await api.ok("POST", api.path("configmaps"), config_map("one"))
    async with api.watch(api.path("configmaps"), fieldSelector="metadata.name=one") as events:
        event = await anext(events)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "one")


async def test_leaving_selection_is_deletion(api: Api) -> None:
    await api.ok("POST", api.path("configmaps"), {"metadata": {"name": "one", "labels": {"tier": "a"}}})
    version = (await api.get(api.path("configmaps")))["metadata"]["resourceVersion"]
    async with api.watch(api.path("configmaps"), resourceVersion=version, labelSelector="tier=a") as events:
        await api.ok("PATCH", api.path("configmaps", "one"), {"metadata": {"labels": {"tier": "b"}}}, kind=MERGE)
        assert (await anext(events))["type"] == "DELETED"
        await api.ok("PATCH", api.path("configmaps", "one"), {"metadata": {"labels": {"tier": "a"}}}, kind=MERGE)
        assert (await anext(events))["type"] == "ADDED"


async def test_old_version_is_gone(api: Api) -> None:
    async with api.watch(api.path("configmaps"), resourceVersion="1") as events:
        event = await anext(events)
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1")


async def test_watch_ends_in_time(api: Api) -> None:
    async with api.watch(api.path("secrets"), timeoutSeconds="1", fieldSelector="metadata.name=none") as events:
        assert [event async for event in events] == []


async def test_events_carry_versions(api: Api) -> None:
    made = await api.ok("POST", api.path("configmaps"), config_map("one"))
    async with api.watch(api.path("configmaps"), fieldSelector="metadata.name=one") as events:
        event = await anext(events)
        assert event["object"]["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        await api.ok("DELETE", api.path("configmaps", "one"))
        gone = await anext(events)
    assert int(gone["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
