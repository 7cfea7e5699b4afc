"""The session object: a Job that never has a pod, and what it owns."""

from __future__ import annotations

from typing import Any

from tests.contract.api import JSON_PATCH, Api, Object
from tests.contract.manifests import config_map, container

BATCH = "batch/v1"


def job(deadline: int | None, **spec: Any) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [container(command=["true"])]}}
    more = {} if deadline is None else {"activeDeadlineSeconds": deadline}
    return {"metadata": {"name": "session"}, "spec": {"parallelism": 0, "template": template, **more, **spec}}


def owned(owner: Object, name: str = "thing") -> Object:
    reference = {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }  # fmt: skip
    made = config_map(name)
    made["metadata"]["ownerReferences"] = [reference]
    return made


async def gone(api: Api, path: str) -> None:
    await api.eventually(lambda: api.call("GET", path), lambda answer: answer[0] == 404)


async def test_dead_mans_switch(api: Api) -> None:
    """Nobody pushes the deadline on: the Job fails, is removed, and what it owns goes with it."""
    made = await api.ok("POST", api.path("jobs", group=BATCH), job(2, ttlSecondsAfterFinished=0))
    await api.ok("POST", api.path("configmaps"), owned(made))
    await gone(api, api.path("jobs", "session", group=BATCH))
    await gone(api, api.path("configmaps", "thing"))
    assert (await api.get(api.path("pods")))["items"] == []


async def test_pushed_deadline_keeps_job(api: Api) -> None:
    path = api.path("jobs", "session", group=BATCH)
    await api.ok("POST", api.path("jobs", group=BATCH), job(3, ttlSecondsAfterFinished=0))
    push = [{"op": "replace", "path": "/spec/activeDeadlineSeconds", "value": 600}]
    await api.ok("PATCH", path, push, kind=JSON_PATCH)
    found = await api.eventually(lambda: api.get(path), lambda found: "startTime" in found.get("status", {}))
    assert "conditions" not in found["status"]


async def test_failed_job_says_why(api: Api) -> None:
    path = api.path("jobs", "session", group=BATCH)
    await api.ok("POST", api.path("jobs", group=BATCH), job(1))

    def failed(found: Object) -> bool:
        return any(item["type"] == "Failed" for item in found.get("status", {}).get("conditions", ()))

    found = await api.eventually(lambda: api.get(path), failed)
    condition = next(item for item in found["status"]["conditions"] if item["type"] == "Failed")
    assert (condition["reason"], condition["message"]) == (
        "DeadlineExceeded", "Job was active longer than specified deadline",
    )  # fmt: skip


async def test_job_deletion_orphans_unless_told(api: Api) -> None:
    """batch/v1 has this default of its own, so we always name the policy."""
    made = await api.ok("POST", api.path("jobs", group=BATCH), job(600))
    await api.ok("POST", api.path("configmaps"), owned(made))
    await api.ok("DELETE", api.path("jobs", "session", group=BATCH))
    await gone(api, api.path("jobs", "session", group=BATCH))
    left = await api.get(api.path("configmaps", "thing"))
    assert "ownerReferences" not in left["metadata"]


async def test_background_deletion_takes_dependents(api: Api) -> None:
    made = await api.ok("POST", api.path("jobs", group=BATCH), job(600))
    await api.ok("POST", api.path("configmaps"), owned(made))
    await api.ok("DELETE", api.path("jobs", "session", group=BATCH), {"propagationPolicy": "Background"})
    assert (await api.call("GET", api.path("jobs", "session", group=BATCH)))[0] == 404
    await gone(api, api.path("configmaps", "thing"))


async def test_foreground_deletion_waits(api: Api) -> None:
    made = await api.ok("POST", api.path("configmaps"), config_map("owner"))
    dependent = owned(made)
    dependent["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = True
    dependent["metadata"]["finalizers"] = ["example.invalid/hold"]
    await api.ok("POST", api.path("configmaps"), dependent)
    answer = await api.ok("DELETE", api.path("configmaps", "owner"), {"propagationPolicy": "Foreground"})
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    await api.eventually(
        lambda: api.get(api.path("configmaps", "thing")), lambda found: "deletionTimestamp" in found["metadata"]
    )
    assert (await api.call("GET", api.path("configmaps", "owner")))[0] == 200
    release = [{"op": "remove", "path": "/metadata/finalizers"}]
    await api.ok("PATCH", api.path("configmaps", "thing"), release, kind=JSON_PATCH)
    await gone(api, api.path("configmaps", "thing"))
    await gone(api, api.path("configmaps", "owner"))


async def test_owner_that_never_was(api: Api) -> None:
    made = await api.ok("POST", api.path("configmaps"), config_map("owner"))
    made["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    await api.ok("POST", api.path("configmaps"), owned(made))
    await gone(api, api.path("configmaps", "thing"))
