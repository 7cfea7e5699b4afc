from __future__ import annotations

import base64
import time
from typing import Any

from tests.contract.api import JSON_PATCH, STRATEGIC, Api, Object
from tests.contract.exec import run
from tests.contract.manifests import HTTP, config_map, container, pod, python


async def running(api: Api, name: str) -> Object:
    found: Object = await api.eventually(
        lambda: api.get(api.path("pods", name)), lambda found: found["status"].get("phase") == "Running"
    )
    return found


def status_of(found: Object) -> Object:
    """The first container's status."""
    return dict((found["status"].get("containerStatuses") or [{"state": {}}])[0])


async def start(api: Api, *containers: Object, **spec: Any) -> Object:
    await api.ok("POST", api.path("pods"), pod("one", *containers, terminationGracePeriodSeconds=2, **spec))
    return await running(api, "one")


async def test_environment_is_resolved(api: Api) -> None:
    await api.ok("POST", api.path("configmaps"), config_map("settings", COLOUR="red", LINES="a\nb=c\n'd'"))
    await api.ok("POST", api.path("secrets"), {"metadata": {"name": "keys"}, "stringData": {"TOKEN": "s3cr3t"}})
    env: list[Object] = [
        {"name": "PLAIN", "value": "x y"},
        {"name": "JOINED", "value": "$(PLAIN)/$(NONE)/$$(PLAIN)/$(COLOUR)"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "ACCOUNT", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}},
        {"name": "PART", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "COLOUR"}}},
        {"name": "OPTIONAL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "NO", "optional": True}}},
    ]
    sources = [{"configMapRef": {"name": "settings"}}, {"prefix": "K_", "secretRef": {"name": "keys"}}]
    limits = {"limits": {"cpu": "500m", "memory": "64Mi"}}
    found = await start(api, container(env=env, envFrom=sources, resources=limits))
    result = await run(api, "one", "env", "-0")
    values = dict(item.split("=", 1) for item in result.out.split("\0") if item)
    expected = {
        "PLAIN": "x y", "JOINED": "x y/$(NONE)/$(PLAIN)/red", "NAME": "one", "SPACE": api.namespace, "APP": "one",
        "ADDRESS": found["status"]["podIP"], "ACCOUNT": "default", "CPU": "500", "MEMORY": "64",
        "SECRET": "s3cr3t", "PART": "red",
        "COLOUR": "red", "LINES": "a\nb=c\n'd'", "K_TOKEN": "s3cr3t", "HOSTNAME": "one",
    }  # fmt: skip
    assert {name: values.get(name) for name in expected} == expected
    assert "OPTIONAL" not in values
    assert values["KUBERNETES_SERVICE_HOST"]
    assert values["KUBERNETES_SERVICE_PORT"].isdigit()


async def test_services_reach_environment(api: Api) -> None:
    service = {
        "metadata": {"name": "my-db"},
        "spec": {"ports": [{"name": "sql", "port": 5432}], "selector": {"app": "db"}},
    }
    made = await api.ok("POST", api.path("services"), service)
    await start(api, container())
    lines = (await run(api, "one", "env")).out.splitlines()
    address = made["spec"]["clusterIP"]
    for line in (f"MY_DB_SERVICE_HOST={address}", "MY_DB_SERVICE_PORT=5432", "MY_DB_SERVICE_PORT_SQL=5432",
                 f"MY_DB_PORT=tcp://{address}:5432", f"MY_DB_PORT_5432_TCP_ADDR={address}"):  # fmt: skip
        assert line in lines


async def test_service_links_can_be_off(api: Api) -> None:
    service = {"metadata": {"name": "my-db"}, "spec": {"ports": [{"port": 5432}], "selector": {"app": "db"}}}
    await api.ok("POST", api.path("services"), service)
    await start(api, container(), enableServiceLinks=False)
    out = (await run(api, "one", "env")).out
    assert "MY_DB" not in out
    assert "KUBERNETES_SERVICE_HOST" in out


async def test_missing_key_waits(api: Api) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "a"}}}]
    await api.ok("POST", api.path("pods"), pod("one", container(env=env)))

    def waits(found: Object) -> bool:
        return bool(status_of(found)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError")

    found = await api.eventually(lambda: api.get(api.path("pods", "one")), waits)
    assert status_of(found)["state"]["waiting"]["message"] == 'configmap "later" not found'
    await api.ok("POST", api.path("configmaps"), config_map("later", a="1"))
    await running(api, "one")


async def test_volumes_hold_files(api: Api) -> None:
    await api.ok("POST", api.path("configmaps"), config_map("settings", one="1", two="2"))
    secret = {"metadata": {"name": "keys"}, "data": {"blob": base64.b64encode(b"\0\xff").decode()}}
    await api.ok("POST", api.path("secrets"), secret)
    volumes = [
        {"name": "settings", "configMap": {"name": "settings", "items": [{"key": "two", "path": "sub/zwei"}]}},
        {"name": "keys", "secret": {"secretName": "keys"}},
        {"name": "all", "projected": {"sources": [
            {"configMap": {"name": "settings"}}, {"secret": {"name": "keys"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "cluster-ca.crt"}]}},
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ]}},
        {"name": "scratch", "emptyDir": {}},
    ]  # fmt: skip
    mounts = [{"name": item["name"], "mountPath": f"/mnt/{item['name']}"} for item in volumes]
    await start(api, container(volumeMounts=mounts), volumes=volumes)

    async def read(path: str) -> str:
        return (await run(api, "one", "cat", path)).out

    assert await read("/mnt/settings/sub/zwei") == "2"
    assert (await run(api, "one", "cat", "/mnt/settings/one")).code != 0
    assert (await run(api, "one", "od", "-An", "-tx1", "/mnt/keys/blob")).out.split() == ["00", "ff"]
    assert await read("/mnt/all/one") == "1"
    assert "BEGIN CERTIFICATE" in await read("/mnt/all/cluster-ca.crt")
    assert await read("/mnt/all/labels") == 'app="one"'
    review = await api.acting_as(await read("/mnt/all/token")).ok(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {"metadata": {}}
    )
    assert review["status"]["userInfo"]["username"] == f"system:serviceaccount:{api.namespace}:default"
    assert (await run(api, "one", "touch", "/mnt/scratch/file")).code == 0


async def test_account_is_mounted(api: Api) -> None:
    await start(api, container())
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert (await run(api, "one", "cat", f"{folder}/namespace")).out == api.namespace
    assert (await run(api, "one", "cat", f"{folder}/token")).out.count(".") == 2


async def test_image_error_is_shown(api: Api) -> None:
    made = pod("one", container() | {"image": "example.invalid/none:1"})
    await api.ok("POST", api.path("pods"), made)

    def failed(found: Object) -> bool:
        return status_of(found)["state"].get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff")

    found = await api.eventually(lambda: api.get(api.path("pods", "one")), failed)
    assert "example.invalid/none:1" in status_of(found)["state"]["waiting"]["message"]
    assert found["status"]["phase"] == "Pending"
    query = {"fieldSelector": "involvedObject.name=one,reason=Failed"}
    events = (await api.ok("GET", api.path("events"), **query))["items"]
    assert any("example.invalid/none:1" in event["message"] for event in events)


async def test_readiness_gates_endpoints(api: Api) -> None:
    """`/ready` is refused until a file is there: the pod runs all the while, the Service begins to send then."""
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}
    service = {
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "one"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    await api.ok("POST", api.path("services"), service)
    found = await start(api, python(HTTP, ports=[{"name": "http", "containerPort": 8080}], readinessProbe=probe))
    assert not status_of(found)["ready"]

    def endpoint(ready: bool) -> Any:
        def holds(slices: Object) -> bool:
            endpoints = [item for part in slices["items"] for item in part.get("endpoints") or ()]
            return [(item["addresses"], item["conditions"]["ready"]) for item in endpoints] == [
                ([found["status"]["podIP"]], ready)
            ]

        return holds

    async def slices() -> Object:
        query = {"labelSelector": "kubernetes.io/service-name=web"}
        return await api.ok("GET", api.path("endpointslices", group="discovery.k8s.io/v1"), **query)

    await api.eventually(slices, endpoint(False))
    await run(api, "one", "touch", "ready")
    await api.eventually(slices, endpoint(True))
    ports = (await slices())["items"][0]["ports"]
    assert [port["port"] for port in ports] == [8080]
    await run(api, "one", "rm", "ready")
    await api.eventually(slices, endpoint(False))
    assert status_of(await running(api, "one"))["restartCount"] == 0


async def test_liveness_restarts(api: Api) -> None:
    probe = {
        "exec": {"command": ["test", "-e", "alive"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
        "initialDelaySeconds": 1,
    }
    await start(api, container(livenessProbe=probe))
    found = await api.eventually(
        lambda: api.get(api.path("pods", "one")), lambda found: status_of(found).get("restartCount", 0) > 0
    )
    assert "terminated" in status_of(found)["lastState"] or "waiting" in status_of(found)["state"]


async def test_crash_backs_off(api: Api) -> None:
    await api.ok("POST", api.path("pods"), pod("one", container(command=["sh", "-c", "exit 3"])))

    def backed_off(found: Object) -> bool:
        return bool(status_of(found)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff")

    found = await api.eventually(lambda: api.get(api.path("pods", "one")), backed_off)
    assert status_of(found)["lastState"]["terminated"]["exitCode"] == 3


async def test_program_not_found(api: Api) -> None:
    await api.ok("POST", api.path("pods"), pod("one", container(command=["nosuchprogram"]), restartPolicy="Never"))

    def ended(found: Object) -> bool:
        return "terminated" in status_of(found)["state"]

    found = await api.eventually(lambda: api.get(api.path("pods", "one")), ended)
    state = status_of(found)["state"]["terminated"]
    assert (state["reason"], state["exitCode"]) == ("StartError", 128)
    assert 'exec: "nosuchprogram": executable file not found in $PATH' in state["message"]


async def test_finished_pod_keeps_result(api: Api) -> None:
    await api.ok(
        "POST", api.path("pods"), pod("one", container(command=["sh", "-c", "echo done"]), restartPolicy="Never")
    )
    found = await api.eventually(
        lambda: api.get(api.path("pods", "one")), lambda found: found["status"]["phase"] == "Succeeded"
    )
    assert status_of(found)["state"]["terminated"]["reason"] == "Completed"
    assert await api.text(api.path("pods", "one", "log")) == (200, "done")


async def test_init_comes_first(api: Api) -> None:
    mounts = [{"name": "scratch", "mountPath": "/scratch"}]
    first = container("first", ["touch", "/scratch/made"], volumeMounts=mounts)
    await start(
        api, container(volumeMounts=mounts), initContainers=[first], volumes=[{"name": "scratch", "emptyDir": {}}]
    )
    assert (await run(api, "one", "ls", "/scratch")).out.split() == ["made"]


async def test_stubborn_pod_is_killed(api: Api) -> None:
    """SIGTERM first; who ignores it is killed when the grace is over."""
    await start(api, container(command=["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]))
    began = time.monotonic()
    await api.ok("DELETE", api.path("pods", "one"))
    assert (await api.get(api.path("pods", "one")))["metadata"]["deletionTimestamp"]
    await api.eventually(lambda: api.call("GET", api.path("pods", "one")), lambda answer: answer[0] == 404)
    assert time.monotonic() - began > 1.5


async def test_running_pod_is_fixed(api: Api) -> None:
    await start(api, container())
    patch = [{"op": "add", "path": "/spec/containers/0/env", "value": [{"name": "A", "value": "1"}]}]
    status, answer = await api.call("PATCH", api.path("pods", "one"), patch, kind=JSON_PATCH)
    assert (status, answer["reason"]) == (422, "Invalid")
    assert "pod updates may not change fields other than" in answer["message"]


async def test_unknown_account_is_refused(api: Api) -> None:
    status, answer = await api.call("POST", api.path("pods"), pod("one", container(), serviceAccountName="nobody"))
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert answer["message"] == (
        f'pods "one" is forbidden: error looking up service account {api.namespace}/nobody: serviceaccount "nobody" not found'
    )


async def test_secret_volume_follows(api: Api) -> None:
    """Within the kubelet's minute and a half; here it is only asked that it can be read anew in the end."""
    await api.ok("POST", api.path("secrets"), {"metadata": {"name": "keys"}, "stringData": {"a": "1"}})
    mounts = [{"name": "keys", "mountPath": "/keys"}]
    await start(api, container(volumeMounts=mounts), volumes=[{"name": "keys", "secret": {"secretName": "keys"}}])
    assert (await run(api, "one", "cat", "/keys/a")).out == "1"
    await api.ok("PATCH", api.path("secrets", "keys"), {"stringData": {"a": "2"}}, kind=STRATEGIC)

    async def read() -> str:
        return (await run(api, "one", "cat", "/keys/a")).out

    if "127." in api.server:  # a real kubelet takes up to 90 s
        await api.eventually(read, lambda text: text == "2")
