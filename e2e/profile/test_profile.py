"""`profile set` with a real Envoy as the caller's proxy: what callers get changes, is proven, and is taken back."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import manifests
from e2e.cluster import Unavailable
from e2e.intercept import Intercept
from e2e.mesh.installation import crd, service
from e2e.profile.schema import http_route
from e2e.scene import Scene

pytestmark = pytest.mark.timeout(400)

Object = dict[str, Any]

HERE = Path(__file__).parent
KIND = "httproutes.gateway.networking.k8s.io"
HEALED_WITHIN = 90.0  # a Lease of 15 s, on a busy machine
ASK = """
import http.client, json, time
began = time.monotonic()
try:
    connection = http.client.HTTPConnection("127.0.0.1", 15001, timeout=20)
    connection.request("GET", "%s", headers={"Host": "books"})
    status = connection.getresponse().status
except OSError:
    status = 0  # the proxy is not there yet
print(json.dumps([status, time.monotonic() - began]))
"""


@pytest.fixture
def books(scene: Scene) -> Iterator[Scene]:
    """A service, a caller with an Envoy, and its routes as HTTPRoutes."""
    try:
        envoy = scene.cluster.envoy()
    except Unavailable as reason:
        pytest.skip(str(reason))
    made = [] if is_there(scene) else [crd(KIND, "v1", http_route())]
    try:
        if made:
            scene.kubectl.apply(*made)
            scene.kubectl("wait", "--for=condition=Established", f"crd/{KIND}", "--timeout=80s")
        scene.kubectl.apply(*_rights(scene.namespace))
        routes = [
            _route("slow", "Exact", "/slow"),
            _route("flaky", "Exact", "/flaky"),
            _route("others", "PathPrefix", "/"),
        ]
        scene.kubectl.apply(*routes)
        scene.deploy(service("books"), _books(scene.image), _caller(scene.image, envoy))
        yield scene
    finally:
        if made:
            scene.kubectl("delete", "crd", KIND, "--wait=false", check=False)


def is_there(scene: Scene, within: float = 60) -> bool:
    """Whether the cluster has the kind; one that is being deleted, by the tests before us, is waited for."""
    deadline = time.monotonic() + within
    while True:
        found = [item["metadata"] for item in scene.kubectl.items("crds") if item["metadata"]["name"] == KIND]
        if not found or "deletionTimestamp" not in found[0]:
            return bool(found)
        assert time.monotonic() < deadline, f"{KIND} is being deleted, and stays"
        time.sleep(0.5)


def _rights(namespace: str) -> list[Object]:
    api = "rbac.authorization.k8s.io"
    rule = {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": ["list"]}
    return [
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": {"name": "control"}, "rules": [rule]},
        {"apiVersion": f"{api}/v1", "kind": "RoleBinding", "metadata": {"name": "control"},
         "roleRef": {"apiGroup": api, "kind": "Role", "name": "control"},
         "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]},
    ]  # fmt: skip


def _route(name: str, kind: str, path: str) -> Object:
    rule = {"matches": [{"path": {"type": kind, "value": path}}], "backendRefs": [{"name": "books", "port": 80}]}
    parent = {"group": "", "kind": "Service", "name": "books", "port": 80}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": f"books-{name}"},
        "spec": {"parentRefs": [parent], "rules": [rule]},
    }  # fmt: skip


def _books(image: str) -> Object:
    ready = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    app = _container("app", image, "python3", "-m", "e2e.programs.books", readinessProbe=ready)
    return manifests.deployment(app, name="books", pod={"terminationGracePeriodSeconds": 1})


def _caller(image: str, envoy: str) -> Object:
    """One that asks through an Envoy, which is told of the routes by a stand-in for a mesh's control plane."""
    bootstrap = (HERE / "bootstrap.json").read_text()
    mounts = {"volumeMounts": [{"name": "rds", "mountPath": "/rds"}]}
    return manifests.deployment(
        _container("app", image, "python3", "-m", "e2e.programs.books_caller"),
        _container("control", image, "python3", "-m", "e2e.programs.books_routes", **mounts),
        _container(
            "envoy", envoy, "envoy", "--config-yaml", bootstrap, "--concurrency", "1", "-l", "warning", **mounts
        ),
        name="caller",
        pod={"volumes": [{"name": "rds", "emptyDir": {}}], "terminationGracePeriodSeconds": 1},
    )


def _container(name: str, image: str, *command: str, **more: Any) -> Object:
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": [*command], **more}


def ask(scene: Scene, path: str) -> tuple[int, float]:
    """What a caller gets, and how soon."""
    status, seconds = json.loads(scene.kubectl("exec", "deploy/caller", "-c", "app", "--", "python3", "-c", ASK % path))
    return status, seconds


def until(scene: Scene, path: str, status: int, within: float = 90) -> float:
    """Wait until a caller gets this; how soon it was answered."""
    deadline = time.monotonic() + within
    while True:
        got, seconds = ask(scene, path)
        if got == status:
            return seconds
        assert time.monotonic() < deadline, f"{path} is answered {got}, not {status}"


def content(scene: Scene, name: str) -> Object:
    """All of a route that is not the API server's own count; who owns which field too."""
    found = scene.kubectl.json("get", f"{KIND}/{name}", "--show-managed-fields")
    for key in ("resourceVersion", "generation"):
        found["metadata"].pop(key)
    return found


def change(scene: Scene, route: str, *options: str) -> Intercept:
    guard = () if "--no-guard" in options else ("--guard-image", scene.cluster.python_image)
    running = scene.run(
        "profile", "set", "svc/books", "--route", route, "--yes", "--window", "2s", "-o", "json", "-n", scene.namespace,
        *guard, *options,
    )  # fmt: skip
    running.wait_for("ready", 120)
    return running


def expect_gone(scene: Scene, name: str, before: Object, within: float) -> None:
    deadline = time.monotonic() + within
    while content(scene, name) != before or scene.kubectl("get", "leases,jobs,secrets", "-o", "name").strip():
        assert time.monotonic() < deadline, f"left: {content(scene, name)}"
        time.sleep(0.5)


def test_route_is_changed_and_taken_back(books: Scene) -> None:
    """A timeout and retries, proven by the proxy; back on Ctrl-C, after kill -9, and by `profile undo`."""
    scene = books
    assert until(scene, "/slow", 200) >= 0.9
    slow, flaky = content(scene, "books-slow"), content(scene, "books-flaky")

    running = change(scene, "/slow", "--timeout", "300ms")
    assert until(scene, "/slow", 504) < 0.9
    assert ask(scene, "/other")[0] == 200
    found = running.wait_line(lambda line: '"proof": "proven"' in line.text, 90, "proof")
    assert "configuration" in found.text
    measured = [event for event in running.events if event.name == "measured"]
    assert measured, running.transcript()
    again = scene.run(
        "profile", "set", "svc/books", "--route", "/slow", "--timeout", "1s", "--yes", "-n", scene.namespace
    )
    assert again.wait(120) == 1
    assert "is changed already" in again.text("stderr")
    assert running.stop() == 130
    assert running.events[-1].name == "restored"
    expect_gone(scene, "books-slow", slow, HEALED_WITHIN)
    assert until(scene, "/slow", 200) >= 0.9

    running = change(scene, "books-flaky", "--retries", "3", "--retry-on", "5xx")
    running.wait_line(lambda line: '"proof": "proven"' in line.text, 90, "proof")
    assert [ask(scene, "/flaky")[0] for _ in range(3)] == [200] * 3
    running.send(signal.SIGKILL)
    began = time.monotonic()
    expect_gone(scene, "books-flaky", flaky, HEALED_WITHIN)
    scene.measured(f"a killed `profile set` was taken back in {time.monotonic() - began:.0f} s")
    until(scene, "/flaky", 500)

    running = change(scene, "/slow", "--timeout", "300ms", "--no-guard")
    running.send(signal.SIGKILL)
    listed = scene.run("list", "-o", "json", "-n", scene.namespace)
    assert listed.wait(120) == 0
    (held,) = json.loads(listed.text("stdout"))["intercepts"]
    assert (held["workload"], held["state"]) == ("httproute/books-slow", "silent")
    undone = scene.run("profile", "undo", "svc/books", "-n", scene.namespace)
    assert undone.wait(120) == 0, undone.transcript()
    expect_gone(scene, "books-slow", slow, HEALED_WITHIN)
    assert until(scene, "/slow", 200) >= 0.9

    others = json.dumps(_route("others", "PathPrefix", "/"))
    scene.kubectl("apply", "--server-side", "--field-manager=robot", "--force-conflicts", "-f", "-", stdin=others)
    before = content(scene, "books-others")
    for words, told in (
        (("books-others",), "spec.rules of httproute/books-others belongs to field manager robot"),
        (("books-slow", "--as", "nobody"), "no right to"),
    ):
        refused = scene.run("profile", "set", "svc/books", "--timeout", "1s", "-n", scene.namespace, "--route", *words)
        assert refused.wait(120) == 1, refused.transcript()
        assert told in refused.text("stderr")
        assert refused.text("stderr").count("\n") == 0
    assert content(scene, "books-others") == before
