"""COMMAND in a mesh: the proxy of the pod takes what it opens for the app's own, and brings it the pod's callers.

One workload as Linkerd injects it, one as Istio does, each with a real Envoy that wants and gives certificates (`injected`).
"""

import json
import re
import signal
import time
from typing import Any

import pytest

from e2e import developer
from e2e.cluster import Unavailable
from e2e.injected import APP, APP_PROBE, ISTIO, LINKERD, Mesh, identity, meshed
from e2e.intercept import Intercept
from e2e.mesh.certs import authority
from e2e.scene import Scene
from interceptor.swap import SESSION_ANNOTATION as SESSION

pytestmark = pytest.mark.timeout(300)  # their own bounds come first, also on a busy machine

WITHIN = 60.0
WAYS = ("mesh-in", "mesh-out", "plain-in", "plain-out")
Object = dict[str, Any]


def ask(scene: Scene, caller: str, url: str) -> Object:
    """What a workload's own container gets."""
    (pod, *_) = scene.kubectl.pods(f"app={caller}")
    words = ("-c", "app", "--", "python3", "-m", "e2e.programs.identity", "get", url)
    return dict(json.loads(scene.kubectl("exec", pod["metadata"]["name"], *words)))


def asked(scene: Scene, caller: str, called: str, word: str) -> Object:
    """What a workload tells another that asks it to ask it back, once the answer comes from where it should.

    A node's proxy learns of a new pod a moment after it is ready.
    """
    deadline = time.monotonic() + WITHIN
    while (said := ask(scene, caller, f"http://{called}/ask/{caller}")).get("word") != word or "asked" not in said:
        assert time.monotonic() < deadline, said
    return said


def asked_as_before(scene: Scene, caller: str, called: str, before: Object) -> None:
    """After an intercept the same answer comes as before it, once the node leads nobody to the agent's old pod.

    While that pod ends it hands such callers on, and its proxy can show no other certificate than its own.
    """
    deadline = time.monotonic() + WITHIN
    while (said := ask(scene, caller, f"http://{called}/ask/{caller}")) != before:
        assert time.monotonic() < deadline, said


def uri(told: Object) -> str:
    """Who a proxy says that the caller was."""
    return str(told["caller"]).rpartition(";URI=")[2]


def intercepted(scene: Scene, name: str) -> tuple[Intercept, str]:
    """The same program here in the app's place, and the agent's pod."""
    running = developer.run(
        scene, "intercept", "-n", scene.namespace, "-o", "json", f"deploy/{name}", "--sandbox", "namespace", "-p", str(APP),
        "--", developer.python(), "-m", "e2e.programs.identity", "LOCAL", str(APP), str(APP_PROBE),
    )  # fmt: skip
    running.wait_for("ready", 90)
    (pod,) = [one for one in scene.kubectl.pods(f"app={name}") if SESSION in one["metadata"].get("annotations", {})]
    return running, pod["metadata"]["name"]


def counted(scene: Scene, pod: str, mesh: Mesh) -> dict[str, int]:
    """The connections that the pod's proxy has made with its certificate, and the handshakes that went well."""
    url = f"http://127.0.0.1:{mesh.admin}/stats?filter=^cluster.mesh.(upstream_cx_total|ssl.handshake)$"
    script = f"import urllib.request; print(urllib.request.urlopen({url!r}).read().decode())"
    said = scene.kubectl("exec", pod, "-c", "app", "--", "python3", "-c", script)
    return {name: int(number) for name, _, number in (line.partition(": ") for line in said.splitlines() if line)}


def passed(scene: Scene, pod: str, mesh: Mesh) -> set[tuple[str, str]]:
    """Each way through the pod's proxy and where it led, as far as it has told."""
    said = scene.kubectl("logs", pod, "-c", f"{mesh.name}-proxy")
    found = (line.partition(" ") for line in said.splitlines())
    return {(way, address) for way, _, address in found if way in WAYS}


def same_as_the_app(scene: Scene, name: str, mesh: Mesh, other: str, there: Object) -> Intercept:
    """Intercept a workload: callers, whom it calls and its proxy see what they saw of the app in the cluster."""
    running, pod = intercepted(scene, name)
    assert asked(scene, other, name, "LOCAL") == {**there, "word": "LOCAL"}
    before = counted(scene, pod, mesh)
    assert asked(scene, other, name, "LOCAL")["asked"] == there["asked"]
    after = counted(scene, pod, mesh)
    assert [stat for stat in after if after[stat] > before[stat]] == [
        "cluster.mesh.ssl.handshake",
        "cluster.mesh.upstream_cx_total",
    ]

    # Probes come through the proxy, too, and so go the agent's requests to the API server; our tunnel, from the pod's
    # loopback, does not.
    whole = scene.kubectl.json("get", f"pod/{pod}")
    own, health = whole["status"]["podIP"], whole["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"]
    service = scene.kubectl.json("get", f"service/{other}")["spec"]["clusterIP"]
    wanted = {("mesh-in", f"{own}:{APP}"), ("plain-in", f"{own}:{health}"), ("mesh-out", f"{service}:80")}
    deadline = time.monotonic() + WITHIN
    while not wanted <= (seen := passed(scene, pod, mesh)):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    api = scene.kubectl.json("get", "service/kubernetes", "-n", "default")["spec"]["clusterIP"]
    assert seen - wanted <= {("plain-out", f"{api}:443")}
    return running


def test_identity_is_the_apps(scene: Scene) -> None:
    try:
        images = {"image": scene.image, "envoy": scene.cluster.envoy(), "tools": scene.cluster.tools()}
    except Unavailable as reason:
        pytest.skip(str(reason))
    anchor = authority("root.cluster.local")
    scene.deploy(
        *meshed("app", LINKERD, anchor, scene.namespace, **images),
        *meshed("peer", ISTIO, anchor, scene.namespace, **images),
    )  # fmt: skip
    app, peer = asked(scene, "peer", "app", "CLUSTER"), asked(scene, "app", "peer", "CLUSTER")
    assert [uri(app), uri(app["asked"])] == [identity(name, scene.namespace) for name in ("peer", "app")]
    assert [uri(peer), uri(peer["asked"])] == [identity(name, scene.namespace) for name in ("app", "peer")]

    # The client is killed: the agent takes the swap back, by way of the proxy.
    before = scene.fingerprint()
    same_as_the_app(scene, "app", LINKERD, "peer", app).send(signal.SIGKILL)
    scene.expect_same(before)
    asked_as_before(scene, "peer", "app", app)

    with scene.unchanged():
        # Injectors see to `run`'s pod as to any; nobody injects here, so it has no certificate, and the app's proxy hangs up.
        alone = developer.run(
            scene, "run", "-n", scene.namespace, "-o", "json", "deploy/app", "--sandbox", "namespace",
            "--", developer.python(), "-m", "e2e.programs.identity", "get", "http://app/",
        )  # fmt: skip
        running = same_as_the_app(scene, "peer", ISTIO, "app", peer)
        assert alone.wait(120) == 0, alone.transcript()
        assert "its pod has no linkerd-init, linkerd-proxy" in alone.transcript()
        assert re.search('"failed": ".*(closed connection|reset by peer)', alone.transcript()), alone.transcript()
        assert running.stop() == 130
    asked_as_before(scene, "app", "peer", peer)
