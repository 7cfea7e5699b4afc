from __future__ import annotations

from tests.contract.api import JSON_PATCH, MERGE, Api, Object
from tests.contract.manifests import HTTP, deployment, python

APPS = "apps/v1"
PROBE = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}


def done(found: Object) -> bool:
    status, replicas = found.get("status") or {}, found["spec"]["replicas"]
    return bool(
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and all(status.get(field, 0) == replicas for field in ("replicas", "updatedReplicas", "availableReplicas"))
    )


async def rolled_out(api: Api, name: str) -> Object:
    found: Object = await api.eventually(lambda: api.get(api.path("deployments", name, group=APPS)), done)
    return found


async def pods(api: Api, name: str) -> list[Object]:
    items: list[Object] = (await api.ok("GET", api.path("pods"), labelSelector=f"app={name}"))["items"]
    return items


async def start(api: Api, replicas: int = 2, **more: object) -> Object:
    made = deployment("web", python(HTTP, readinessProbe=PROBE), replicas=replicas, terminationGracePeriodSeconds=5)
    made["spec"] |= more
    await api.ok("POST", api.path("deployments", group=APPS), made)
    return await rolled_out(api, "web")


async def test_rollout_there_and_back(api: Api) -> None:
    """A new template makes a new ReplicaSet; the old template finds its own again, and nothing else has changed."""
    before = await start(api)
    path = api.path("deployments", "web", group=APPS)
    first = {pod["metadata"]["labels"]["pod-template-hash"] for pod in await pods(api, "web")}
    change = {"op": "add", "path": "/spec/template/metadata/annotations", "value": {"a": "1"}}
    await api.ok("PATCH", path, [change], kind=JSON_PATCH)
    swapped = await rolled_out(api, "web")
    assert swapped["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    await api.eventually(lambda: pods(api, "web"), lambda found: len(found) == 2)
    second = {pod["metadata"]["labels"]["pod-template-hash"] for pod in await pods(api, "web")}
    assert first.isdisjoint(second)
    undo = {"op": "remove", "path": "/spec/template/metadata/annotations"}
    await api.ok("PATCH", path, [undo], kind=JSON_PATCH)
    after = await rolled_out(api, "web")
    assert after["spec"] == before["spec"]
    await api.eventually(lambda: pods(api, "web"), lambda found: len(found) == 2)
    assert {pod["metadata"]["labels"]["pod-template-hash"] for pod in await pods(api, "web")} == first
    sets = (await api.get(api.path("replicasets", group=APPS)))["items"]
    assert sorted(item["spec"]["replicas"] for item in sets) == [0, 2]


async def test_rollout_keeps_availability(api: Api) -> None:
    await start(api, strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    path = api.path("deployments", "web", group=APPS)
    lowest = []

    async def look() -> Object:
        found = await api.get(path)
        lowest.append(found["status"].get("availableReplicas", 0))
        return found

    await api.ok("PATCH", path, {"spec": {"template": {"metadata": {"annotations": {"a": "1"}}}}}, kind=MERGE)
    await api.eventually(look, done)
    assert min(lowest) == 2


async def test_complete_rollout_says_so(api: Api) -> None:
    found = await start(api, replicas=1)
    reasons = {item["type"]: (item["status"], item["reason"]) for item in found["status"]["conditions"]}
    assert reasons == {
        "Available": ("True", "MinimumReplicasAvailable"), "Progressing": ("True", "NewReplicaSetAvailable"),
    }  # fmt: skip


async def test_stuck_rollout_times_out(api: Api) -> None:
    await start(api, replicas=1, progressDeadlineSeconds=2)
    path = api.path("deployments", "web", group=APPS)
    change = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.invalid/none:1"}
    await api.ok("PATCH", path, [change], kind=JSON_PATCH)

    def stuck(found: Object) -> bool:
        conditions = {item["type"]: item["reason"] for item in found["status"]["conditions"]}
        return bool(conditions["Progressing"] == "ProgressDeadlineExceeded")

    found = await api.eventually(lambda: api.get(path), stuck)
    assert found["status"]["availableReplicas"] == 1


async def test_scale_by_subresource(api: Api) -> None:
    await start(api, replicas=1)
    path = api.path("deployments", "web", "scale", group=APPS)
    scale = await api.get(path)
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 1, "app=web")
    await api.ok("PATCH", path, {"spec": {"replicas": 2}}, kind=MERGE)
    assert (await rolled_out(api, "web"))["status"]["readyReplicas"] == 2


async def test_scaled_to_nothing(api: Api) -> None:
    await start(api, replicas=1)
    path = api.path("deployments", "web", group=APPS)
    await api.ok("PATCH", path, {"spec": {"replicas": 0}}, kind=MERGE)
    await api.eventually(lambda: pods(api, "web"), lambda found: not found)
    found = await api.eventually(lambda: api.get(path), lambda found: "replicas" not in found["status"])
    assert "readyReplicas" not in found["status"]


async def test_paused_rollout_waits(api: Api) -> None:
    await start(api, replicas=1)
    path = api.path("deployments", "web", group=APPS)
    await api.ok("PATCH", path, {"spec": {"paused": True}}, kind=MERGE)
    change = {"spec": {"template": {"metadata": {"annotations": {"a": "1"}}}}}
    patched = await api.ok("PATCH", path, change, kind=MERGE)
    generation = patched["metadata"]["generation"]
    found = await api.eventually(
        lambda: api.get(path), lambda found: found["status"]["observedGeneration"] == generation
    )
    reasons = {item["type"]: item["reason"] for item in found["status"]["conditions"]}
    assert reasons["Progressing"] == "DeploymentPaused"
    assert len((await api.get(api.path("replicasets", group=APPS)))["items"]) == 1
    await api.ok("PATCH", path, {"spec": {"paused": None}}, kind=MERGE)
    await rolled_out(api, "web")
    assert len((await api.get(api.path("replicasets", group=APPS)))["items"]) == 2


async def test_deleted_pod_comes_back(api: Api) -> None:
    await start(api, replicas=1)
    (pod,) = await pods(api, "web")
    answer = await api.ok("DELETE", api.path("pods", pod["metadata"]["name"]))
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 5

    def replaced(found: list[Object]) -> bool:
        return [item["metadata"]["uid"] for item in found] != [pod["metadata"]["uid"]] and len(found) == 1

    await api.eventually(lambda: pods(api, "web"), replaced)


async def test_deletion_takes_pods(api: Api) -> None:
    await start(api, replicas=1)
    await api.ok("DELETE", api.path("deployments", "web", group=APPS), {"propagationPolicy": "Background"})
    await api.eventually(lambda: pods(api, "web"), lambda found: not found)
    assert (await api.get(api.path("replicasets", group=APPS)))["items"] == []
