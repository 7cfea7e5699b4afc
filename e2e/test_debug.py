"""`debug` on a real cluster: what was sent is in the capture, a terminal is a person's, and nothing goes on after it."""

import base64
import json
import signal
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from e2e import manifests
from e2e.cluster import Unavailable
from e2e.intercept import Intercept, installed
from e2e.kubectl import Object
from e2e.mesh.certs import authority, issue
from e2e.scene import Scene
from e2e.terminal import Terminal
from interceptor.session.debug.pcap import PcapReader
from interceptor.workload.debug_sidecar import ENABLE
from interceptor.workload.debugger import PROFILES

pytestmark = pytest.mark.timeout(300)  # their own bounds come first, also on a busy machine

ERRANDS = (("--connections",), ("--dns", "echo"), ("--dns", "nobody-here"))


@pytest.fixture
def tools(scene: Scene) -> str:
    """Our debug image, in the node."""
    try:
        return scene.cluster.tools()
    except Unavailable as reason:
        pytest.skip(str(reason))


def arguments(scene: Scene, tools: str, *words: str) -> list[str]:
    return ["debug", "-n", scene.namespace, "deploy/echo", "--image", tools, *words]


def start(scene: Scene, tools: str, *words: str) -> Intercept:
    return scene.run(*arguments(scene, tools, *words))


def document(done: Intercept, status: int) -> dict[str, Any]:
    """The JSON that an errand prints."""
    assert done.wait(120) == status, done.transcript()
    printed: dict[str, Any] = json.loads(done.text("stdout"))
    return printed


def ephemeral(scene: Scene) -> list[Object]:
    """The states of all debug containers in the pods."""
    return [
        item["state"] for pod in scene.kubectl.pods() for item in pod["status"].get("ephemeralContainerStatuses") or ()
    ]


def all_ended(scene: Scene, count: int, within: float = 90) -> None:
    """So many debug containers were there, and none runs any more."""
    deadline = time.monotonic() + within
    while len(states := ephemeral(scene)) < count or not all("terminated" in state for state in states):
        assert time.monotonic() < deadline, states
        time.sleep(0.3)


def test_capture_holds_the_request(scene: Scene, tools: str) -> None:
    """Of every pod, whole; nothing goes on in the pods after Ctrl-C, or after kill -9. Sockets and names beside it."""
    scene.echo(replicas=2)
    scene.tools()
    file = scene.folder / "echo.pcap"
    capture = start(scene, tools, "--capture", str(file), "--filter", "tcp port 8080", "-o", "json")
    assert len(capture.wait_for("ready").fields["pods"]) == 2
    for pod in scene.kubectl.pods():
        scene.get(f"http://{pod['status']['podIP']}:8080/sent-to/{pod['metadata']['name']}")
    deadline = time.monotonic() + 90
    while not all(f"/sent-to/{pod['metadata']['name']}".encode() in file.read_bytes() for pod in scene.kubectl.pods()):
        assert time.monotonic() < deadline, capture.transcript()
        time.sleep(0.2)
    assert capture.stop(signal.SIGINT) == 130, capture.transcript()
    packets = whole_packets(file)
    told = [event for event in capture.events if "packets" in event.fields]
    assert told[-1]["packets"] == len(packets) > 10
    all_ended(scene, 2)

    killed = start(scene, tools, "--capture", str(scene.folder / "cut.pcap"), "-o", "json")
    killed.wait_for("ready")
    killed.send(signal.SIGKILL)
    all_ended(scene, 4)

    running = {words: start(scene, tools, *words, "-o", "json") for words in ERRANDS}
    sockets = document(running[ERRANDS[0]], 0)["sockets"]
    listening = {one["pod"] for one in sockets if one["state"] == "LISTEN" and one["local"].endswith(":8080")}
    assert listening == {pod["metadata"]["name"] for pod in scene.kubectl.pods()}

    resolved = document(running[ERRANDS[1]], 0)
    address = scene.kubectl.json("get", "service/echo")["spec"]["clusterIP"]
    assert resolved["addresses"] == [address]
    assert resolved["through"] == f"echo.{scene.namespace}.svc.cluster.local."
    assert resolved["resolver"]["search"][0] == f"{scene.namespace}.svc.cluster.local"
    assert resolved["asked"][0]["server"].startswith(resolved["resolver"]["servers"][0])
    assert document(running[ERRANDS[2]], 1)["resolved"] is False
    all_ended(scene, 8)


def whole_packets(file: Path) -> list[bytes]:
    """The packets of a capture in which nothing is cut off."""
    data = file.read_bytes()
    packets = list(PcapReader().feed(data))
    assert 24 + sum(map(len, packets)) == len(data)
    return packets


def test_terminal_is_a_persons(scene: Scene, tools: str) -> None:
    """Size, Ctrl-C, exit status, the app's processes; and beside it what pipes give. Profiles are kubectl's own."""
    scene.echo()
    argv = [*installed(), *arguments(scene, tools, "--share", "app")]
    with Terminal(argv, scene.environment(TERM="xterm"), columns=99, rows=33) as terminal:
        terminal.see("# ", 90)
        assert terminal.is_raw()
        terminal.press("stty size; ps ax; echo seen=$((40+2))\r")
        shown = terminal.see("seen=42")
        assert "33 99" in shown
        assert "e2e.programs.echo" in shown
        terminal.resize(120, 44)
        for _ in range(20):  # the new size travels behind the next keys, maybe
            terminal.press("stty size; echo again=$((40+2))\r")
            if "44 120" in terminal.see("again=42"):
                break
        else:
            raise AssertionError("the new size did not arrive")
        terminal.press("echo be''gun; sleep 1000\r")
        terminal.see("begun")
        terminal.press("\x03")
        terminal.press("echo status=$?\r")
        terminal.see("status=130")
        terminal.press("exit 5\r")
        assert terminal.wait(120) == 5
        assert not terminal.is_raw()
    piped = start(scene, tools, "--profile", "restricted", "--", "sh", "-c", "id -u; echo bad >&2; exit 7")
    assert piped.wait(120) == 7, piped.transcript()
    assert piped.text("stdout") == "65532"
    assert "bad" in piped.text("stderr")
    absent = start(scene, tools, "--", "no-such-program-here")
    assert absent.wait(120) == 127, absent.transcript()
    all_ended(scene, 3)
    same_profiles(scene, tools)


def same_profiles(scene: Scene, tools: str) -> None:
    """For each profile the securityContext of kubectl's own ephemeral container, but for the user of `restricted`."""
    name = scene.kubectl.pods()[0]["metadata"]["name"]
    running = {profile: start(scene, tools, "--profile", profile, "-o", "json", "--", "true") for profile in PROFILES}
    for profile in PROFILES:
        scene.kubectl("debug", name, f"--image={tools}", f"--profile={profile}", f"--container=theirs-{profile}",
                      "--attach=false", "--", "true")  # fmt: skip
    ours = {profile: done.wait_for("connected")["pods"][name] for profile, done in running.items()}
    for done in running.values():
        assert done.wait(120) == 0, done.transcript()
    (pod,) = scene.kubectl.pods()
    contexts = {one["name"]: one["securityContext"] for one in pod["spec"]["ephemeralContainers"]}
    for profile in PROFILES:
        extra = {"runAsUser": 65532} if profile == "restricted" else {}
        assert contexts[ours[profile]] == {**contexts[f"theirs-{profile}"], **extra}


def test_copy_leaves_nothing(scene: Scene, tools: str) -> None:
    """Of an intercepted workload too; nobody sends to it; removed at the end, and by `restore` after kill -9."""
    scene.echo()
    before = scene.fingerprint()
    done = start(scene, tools, "--copy", "-o", "json", "--", "sh", "-c", "ps ax; exit 4")
    copy = done.wait_for("ready", 90)["pod"]
    assert done.wait(120) == 4, done.transcript()
    assert "e2e.programs.echo" in done.text("stderr")
    scene.expect_same(before)

    local = scene.local()
    intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
    beside = start(scene, tools, "--share", "app", "--", "ps", "ax")
    assert beside.wait(120) == 0, beside.transcript()
    assert "agent.pyz" in beside.text("stdout")
    killed = start(scene, tools, "--copy", "-o", "json", "--", "sleep", "1000")
    copy = killed.wait_for("ready", 90)["pod"]
    pod = scene.kubectl.json("get", f"pod/{copy}")
    assert "app" not in pod["metadata"]["labels"]
    assert not any("interceptor" in volume["name"] for volume in pod["spec"]["volumes"])
    held = scene.run("restore", "--all", "-n", scene.namespace)
    assert held.wait(120) == 1, held.transcript()
    killed.send(signal.SIGKILL)
    intercept.stop()
    restored = scene.run("restore", "--all", "-n", scene.namespace)
    assert restored.wait(120) == 0, restored.transcript()
    scene.expect_same(before)


INJECTOR = """
    import base64, http.server, json, ssl

    class Injector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            pod = review["request"]["object"]
            answer = {"uid": review["request"]["uid"], "allowed": True}
            if (pod["metadata"].get("annotations") or {}).get("config.linkerd.io/enable-debug-sidecar") == "true":
                debug = {"name": "linkerd-debug", "image": IMAGE, "command": ["sleep", "100000"]}
                patch = [{"op": "add", "path": "/spec/containers/-", "value": debug}]
                answer |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
            body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("", 8443), Injector)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
"""


def injector(scene: Scene, tools: str) -> None:
    """What Linkerd's does about this one annotation, for this namespace."""
    root = authority("injector")
    leaf = issue(f"injector.{scene.namespace}.svc", root)
    script = textwrap.dedent(INJECTOR).replace("IMAGE", repr(tools))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "injector"},
              "stringData": {"tls.crt": leaf.pem, "tls.key": leaf.key}}  # fmt: skip
    container = manifests.container(scene.image, {"containerPort": 8443}, command=["python3", "-c", script],
                                    readinessProbe={"tcpSocket": {"port": 8443}, "periodSeconds": 1},
                                    volumeMounts=[{"name": "tls", "mountPath": "/tls"}])  # fmt: skip
    volumes = {"volumes": [{"name": "tls", "secret": {"secretName": "injector"}}]}
    scene.deploy(
        secret, manifests.deployment(container, name="injector", pod=volumes),
        manifests.service("injector", 8443, app="injector", port=443),
    )  # fmt: skip
    webhook = {
        "name": "debug.interceptor.test",
        "clientConfig": {
            "service": {"name": "injector", "namespace": scene.namespace},
            "caBundle": base64.b64encode(root.pem.encode()).decode(),
        },
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
        "failurePolicy": "Ignore", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 30,
    }  # fmt: skip
    name = f"{scene.namespace}-injector"
    scene.kubectl.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                         "metadata": {"name": name}, "webhooks": [webhook]})  # fmt: skip
    scene.stack.callback(scene.kubectl, "delete", "mutatingwebhookconfiguration", name, "--ignore-not-found")
    probe = manifests.pod("probe", scene.image, "true")
    probe["metadata"]["annotations"] = {ENABLE: "true"}
    deadline = time.monotonic() + 90
    while True:  # the API server learns of a webhook a moment later
        made = scene.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(probe))
        if len(json.loads(made)["spec"]["containers"]) == 2:
            return
        assert time.monotonic() < deadline, "the injector is not asked"
        time.sleep(0.3)


def test_linkerds_sidecar_is_undone(scene: Scene, tools: str) -> None:
    """The annotation goes back exactly, with its revision; after kill -9 by `restore`."""
    injector(scene, tools)
    proxy = {"name": "linkerd-proxy", "image": scene.image, "imagePullPolicy": "IfNotPresent",
             "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait $!"]}  # fmt: skip
    scene.deploy(manifests.deployment(scene.container(), proxy))
    before = scene.fingerprint()
    words = ["debug", "-n", scene.namespace, "deploy/echo", "--inject", "-o", "json", "--"]
    done = scene.run(*words, "sh", "-c", "echo in linkerd-debug; exit 6")
    assert done.wait(120) == 6, done.transcript()
    assert "in linkerd-debug" in done.text("stderr")
    scene.expect_same(before)

    killed = scene.run(*words, "sleep", "1000")
    killed.wait_for("connected", 90)
    template = scene.kubectl.json("get", "deploy/echo")["spec"]["template"]
    assert template["metadata"]["annotations"][ENABLE] == "true"
    killed.send(signal.SIGKILL)
    listed = scene.run("list", "-n", scene.namespace, "-o", "json")
    assert listed.wait(120) == 0, listed.transcript()
    assert [one["workload"] for one in json.loads(listed.text("stdout"))["debugged"]] == ["deploy/echo"]
    restored = scene.run("restore", "deploy/echo", "-n", scene.namespace)
    assert restored.wait(120) == 0, restored.transcript()
    scene.expect_same(before)


def test_refusals_are_one_line(scene: Scene, tools: str) -> None:
    """What stands in the way is named, with what to type next."""
    scene.echo()
    refused = {
        ("--image", "no.such.host.invalid/tools:1"): ("can't get image", "lets nobody remove it"),
        ("--share", "nobody"): ("has no container 'nobody'", "it has: app"),
        ("--inject",): ("Linkerd's proxy", "leave out --inject"),
        ("--capture", str(scene.folder / "x.pcap"), "--filter", "port nonsense("): ("can't capture", "pcap-filter"),
    }
    rights = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
              {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]  # fmt: skip
    scene.kubectl.apply(
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "ana"}, "rules": rights},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "ana"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ana"},
         "subjects": [{"kind": "User", "name": "ana", "apiGroup": "rbac.authorization.k8s.io"}]},
    )  # fmt: skip
    refused[("--as", "ana")] = ("patch pods/ephemeralcontainers", "interceptor rbac --debug --for deploy/echo")
    running = {words: start(scene, tools, *words) for words in refused if "--inject" not in words}
    running["--inject",] = scene.run("debug", "-n", scene.namespace, "deploy/echo", "--inject")
    for words, telling in refused.items():
        done = running[words]
        assert done.wait(120) == 1, done.transcript()
        (line,) = [line for line in done.text("stderr").splitlines() if line.startswith("error: ")]
        for part in telling:
            assert part in line, done.transcript()
    scene.kubectl("label", "namespace", scene.namespace, "pod-security.kubernetes.io/enforce=baseline")
    done = start(scene, tools, "--capture", str(scene.folder / "x.pcap"))
    assert done.wait(120) == 1, done.transcript()
    assert "Pod Security of namespace" in done.text("stderr")
    assert "NET_ADMIN" in done.text("stderr")
    # Admission looks at the whole pod, with the container that captured before: for the next one it has to be lifted.
    scene.kubectl("label", "namespace", scene.namespace, "pod-security.kubernetes.io/enforce-")
    given = scene.run("rbac", "--debug", "--for", "deploy/echo", "-n", scene.namespace, "--user", "ana")
    assert given.wait(120) == 0, given.transcript()
    scene.kubectl("apply", "-f", "-", stdin=given.text("stdout") + "\n")
    allowed = start(scene, tools, "--as", "ana", "--dns", "echo")
    assert allowed.wait(120) == 0, allowed.transcript()
