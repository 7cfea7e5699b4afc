"""Every kind of workload, with pods of many shapes: served here under load, and then exactly as before."""

import signal
import time
from typing import Any

import pytest

from e2e import manifests
from e2e.kubectl import Object
from e2e.load import Load
from e2e.scene import Scene

STRICT = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 1234,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}}
PAUSE = ["python3", "-c", "import signal; signal.signal(15, lambda *_: exit(0)); signal.pause()"]
HTTP: Object = {"name": "http", "containerPort": 8080}
HEALED_WITHIN = 60.0  # of a killed client, by the agents alone: pods go one after the other


def body_of(kind: str, *containers: Object, replicas: int = 2, pod: Object | None = None, **spec: Any) -> Object:
    """A Deployment's body under another kind."""
    pod = {"terminationGracePeriodSeconds": 10, **(pod or {})}
    body = manifests.deployment(*containers, replicas=replicas, pod=pod, **spec)
    body["kind"] = kind
    if kind == "DaemonSet":
        del body["spec"]["replicas"]
    if kind == "StatefulSet":
        body["spec"]["serviceName"] = "peers"
    return body


def up(scene: Scene, body: Object, pods: int, *others: Object) -> None:
    """Create it with a Service that aims at a name, and a headless one; wait for its pods whatever its kind."""
    headless = manifests.service("peers", "http")
    headless["spec"]["clusterIP"] = "None"
    scene.kubectl.apply(manifests.service("echo", "http"), headless, *others, body)
    deadline = time.monotonic() + 120
    while len(ready(scene)) < pods:
        assert time.monotonic() < deadline, scene.kubectl("get", "pods,events")
        time.sleep(0.3)


def ready(scene: Scene) -> dict[str, Object]:
    return {
        pod["metadata"]["name"]: pod
        for pod in scene.kubectl.pods()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    }


def served_and_back(scene: Scene, load: Load, *arguments: str, pods: int = 2) -> Object:
    """Held and given back under load without a lost request; the pods while it was held."""
    load.wait_for("CLUSTER")
    local = scene.local()
    with scene.unchanged():
        began = time.monotonic()
        running = scene.started(*arguments, "--port", f"{local.port}:http", within=120)
        steady = load.wait_steady("LOCAL").at
        told, held = running.wait_for("ready"), ready(scene)
        assert len(told["pods"]) == pods, running.transcript()
        stopped, between = time.time(), time.monotonic()
        assert running.stop(timeout=120) == 130, running.transcript()
        scene.measured(f"ready {between - began:.1f} s, restored {time.monotonic() - between:.1f} s")
        load.wait_steady("CLUSTER")
    report = load.finish()
    assert not report.failed, (report.failed[:5], report.told())
    assert report.between(steady, stopped).words() == {"LOCAL"}, report.told()
    return held


def developer(scene: Scene, target: str) -> tuple[str, str]:
    """A user who may do what `interceptor rbac` prints for this workload, and nothing else."""
    printed = scene.run("rbac", "-n", scene.namespace, "--for", target, "--user", "ana")
    assert printed.wait(120) == 0, printed.transcript()
    scene.kubectl("apply", "-f", "-", stdin=printed.text("stdout"))
    return "--as", "ana"


def healed_alone(scene: Scene, *arguments: str) -> None:
    """The client is killed: the agents restore, exchange the pods and tidy up."""
    scene.tools()
    before = scene.fingerprint()
    local = scene.local()
    running = scene.started(*arguments, "--port", f"{local.port}:http", within=120)
    scene.expect("http://echo/", "200 LOCAL")
    killed = time.monotonic()
    running.send(signal.SIGKILL)
    scene.expect("http://echo/", "200 CLUSTER", within=HEALED_WITHIN)
    scene.expect_same(before, within=HEALED_WITHIN * 2, history=False)
    scene.measured(f"healed after {time.monotonic() - killed:.1f} s")
    assert not [name for name in ready(scene) if name.startswith("interceptor-")]


@pytest.mark.timeout(300)
def test_ordered_set_of_strict_pods(scene: Scene) -> None:
    """StatefulSet; Pod Security `restricted`, an init container, a native sidecar, limits, and a quota without room."""
    plain = {"image": scene.image, "imagePullPolicy": "IfNotPresent", "securityContext": STRICT, "resources": SMALL}
    first = {"name": "first", "command": ["true"], **plain}
    side = {"name": "side", "command": PAUSE, "restartPolicy": "Always", "ports": [{"containerPort": 47811}], **plain}
    other = {"name": "other", "command": PAUSE, **plain}
    app = scene.container(
        HTTP,
        securityContext=STRICT,
        resources=SMALL,
        startupProbe={"exec": {"command": ["true"]}},
        lifecycle={"postStart": {"exec": {"command": ["python3", "-m", "e2e.programs.echo", "-h"]}}},
    )
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "echo"}},
    }
    body = body_of(
        "StatefulSet", app, other, pod={"initContainers": [first, side], "topologySpreadConstraints": [spread]}
    )
    up(scene, body, 2)
    load = scene.load(rate=50)
    for level in ("enforce", "warn"):
        scene.kubectl("label", "namespace", scene.namespace, f"pod-security.kubernetes.io/{level}=restricted")
    hard = {"pods": "3"}
    scene.kubectl.apply(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": {"hard": hard}}
    )
    held = served_and_back(scene, load, "sts/echo", "-c", "app", *developer(scene, "sts/echo"))
    assert set(held) == {"echo-0", "echo-1"}


@pytest.mark.timeout(300)
def test_ordered_set_is_not_stuck(scene: Scene) -> None:
    """A StatefulSet waits for pods that will never be ready: an agent without an image, then one without a client."""
    up(scene, body_of("StatefulSet", scene.container(HTTP)), 2)
    before, uid = scene.fingerprint(), ready(scene)["echo-0"]["metadata"]["uid"]
    refused = scene.intercept("sts/echo", "--port", "1:http", "--agent-image", "127.0.0.1:9/none:1")
    assert refused.wait(120) == 1, refused.transcript()
    assert "127.0.0.1:9/none:1" in refused.wait_for("failed")["text"]
    scene.expect_same(before)
    assert set(ready(scene)) == {"echo-0", "echo-1"}, refused.transcript()
    killed = scene.intercept("sts/echo", "--port", "1:http")  # nobody listens there: no agent is ready before 10 s
    killed.wait_for("connected", 60)
    killed.send(signal.SIGKILL)
    died = time.monotonic()
    scene.expect_same(before, within=HEALED_WITHIN * 2, history=False)
    while set(ready(scene)) != {"echo-0", "echo-1"}:
        assert time.monotonic() < died + HEALED_WITHIN * 2, scene.kubectl("get", "pods,events")
        time.sleep(0.3)
    scene.measured(f"healed after {time.monotonic() - died:.1f} s")
    assert ready(scene)["echo-0"]["metadata"]["uid"] == uid  # the controller never came that far


def test_pods_below_the_partition_stay(scene: Scene) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    up(scene, body_of("StatefulSet", scene.container(HTTP), updateStrategy=strategy, podManagementPolicy="Parallel"), 2)
    before = {name: pod["metadata"]["uid"] for name, pod in ready(scene).items()}
    local = scene.local()
    with scene.unchanged():
        running = scene.started("sts/echo", "--port", f"{local.port}:http", within=90)
        assert running.wait_for("ready")["pods"] == ["echo-1"]
        assert "echo-0 stay" in running.transcript()
        assert running.stop(timeout=120) == 130, running.transcript()
    after = {name: pod["metadata"]["uid"] for name, pod in ready(scene).items()}
    assert (before["echo-0"] == after["echo-0"], before["echo-1"] == after["echo-1"]) == (True, False)


@pytest.mark.timeout(300)
def test_pods_exchanged_by_hand(scene: Scene) -> None:
    """StatefulSet with `OnDelete`; under load, and again with a killed client."""
    up(scene, body_of("StatefulSet", scene.container(HTTP), updateStrategy={"type": "OnDelete"}), 2)
    load = scene.load(rate=50)
    assert set(served_and_back(scene, load, "svc/echo")) == {"echo-0", "echo-1"}
    healed_alone(scene, "pod/echo-1", *developer(scene, "sts/echo"))


def test_daemons_surge(scene: Scene) -> None:
    """DaemonSet with `maxSurge`: a node's next pod starts before the last ends, so nothing is lost with one node."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    up(scene, body_of("DaemonSet", scene.container(HTTP), updateStrategy=strategy), 1)
    served_and_back(scene, scene.load(rate=50), "ds/echo", pods=1)


def test_daemons_by_hand(scene: Scene) -> None:
    """DaemonSet with `OnDelete` and a hostPort; killed."""
    app = scene.container({**HTTP, "hostPort": 31080})
    up(scene, body_of("DaemonSet", app, updateStrategy={"type": "OnDelete"}), 1)
    healed_alone(scene, "ds/echo", *developer(scene, "ds/echo"))


@pytest.mark.timeout(300)
def test_lone_replica_set(scene: Scene) -> None:
    """A ReplicaSet of nobody: one pod, and still no lost request; killed with two."""
    up(scene, body_of("ReplicaSet", scene.container(HTTP), replicas=1), 1)
    served_and_back(scene, scene.load(rate=50), "rs/echo", *developer(scene, "rs/echo"), pods=1)
    scene.kubectl("scale", "rs/echo", "--replicas=2")
    healed_alone(scene, "rs/echo", "--as", "ana")


def bare(scene: Scene) -> Object:
    pod = body_of("Pod", scene.container(HTTP))["spec"]["template"]
    metadata = {"name": "solo", **pod["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**pod["spec"], "restartPolicy": "Never"}}


@pytest.mark.timeout(300)
def test_bare_pod(scene: Scene) -> None:
    """One pod and no lost request: a stand-in serves before it goes, and it serves before the stand-in goes."""
    up(scene, bare(scene), 1)
    held = served_and_back(scene, scene.load(rate=50), "pod/solo", *developer(scene, "pod/solo"), pods=1)
    assert "solo" not in held
    assert list(ready(scene)) == ["solo"]
    healed_alone(scene, "pod/solo", "--as", "ana")


def test_bare_pod_comes_back_from_the_cluster_alone(scene: Scene) -> None:
    """Without a guard nobody heals it; the stand-in remembers."""
    up(scene, bare(scene), 1)
    scene.tools()
    before = scene.fingerprint()
    local = scene.local()
    running = scene.started("pod/solo", "--port", f"{local.port}:http", "--no-guard")
    scene.expect("http://echo/", "200 LOCAL")
    running.send(signal.SIGKILL)
    running.wait(120)
    restored = scene.run("restore", "-n", scene.namespace, "pod/solo")
    assert restored.wait(120) == 0, restored.transcript()
    scene.expect_same(before)
    scene.expect("http://echo/", "200 CLUSTER")


def test_refused_with_the_reason(scene: Scene) -> None:
    job = body_of("Job", {**scene.container(), "name": "app"})
    pod = {**job["spec"]["template"]["spec"], "restartPolicy": "Never"}
    template = {"metadata": {"labels": {"app": "task"}}, "spec": pod}
    scene.kubectl.apply(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "task"},
         "spec": {"suspend": True, "template": template}},
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
         "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}}},
        {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "old"}, "spec": {
            "replicas": 0, "template": {"metadata": {"labels": {"app": "old"}},
                                        "spec": {"containers": [scene.container()]}}}},
        {**body_of("Deployment", scene.container(), pod={"hostNetwork": True}), "metadata": {"name": "host"}},
        {**body_of("StatefulSet", scene.container(), replicas=1,
                   updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 5}}),
         "metadata": {"name": "parted"}},
    )  # fmt: skip
    for target, reason in (
        ("job/task", "do their work and end"),
        ("cj/nightly", "do their work and end"),
        ("rc/old", "no way to keep"),
        ("deploy/host", "hostNetwork"),
        ("sts/parted", "partition of sts/parted is 5"),
    ):
        refused = scene.intercept(target, "--port", "8080")
        assert refused.wait(120) == 1, refused.transcript()
        failed = refused.wait_for("failed")
        assert reason in failed["text"], failed
        assert failed["hint"], failed
