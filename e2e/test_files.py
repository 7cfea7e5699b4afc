"""The container's volumes in the sandbox are the pod's, byte for byte, and follow it; for a user without any rights."""

import json
import shutil
import time
from collections.abc import Iterator

import pytest

from e2e import developer, manifests
from e2e.intercept import Intercept
from e2e.kubectl import Object
from e2e.scene import Scene

pytestmark = pytest.mark.timeout(300)  # their own bounds come first, also on a busy machine

# Runs in the pod and in the sandbox; prints what a program can see of the folders named.
PROBE = """
import hashlib, json, os, socket, ssl, stat, sys, urllib.request
def look(path):
    seen = os.lstat(path)
    about = [oct(seen.st_mode), seen.st_nlink, seen.st_mtime_ns]
    if stat.S_ISLNK(seen.st_mode):
        about.append(os.readlink(path))
    elif stat.S_ISREG(seen.st_mode):
        data = open(path, "rb").read()
        about += [seen.st_size, hashlib.sha256(data).hexdigest()]
    return about
files = {}
for root in sys.argv[1:]:
    files[root] = look(root)
    for path, folders, names in os.walk(root):
        for name in folders + names:
            files[os.path.join(path, name)] = look(os.path.join(path, name))
account = "/var/run/secrets/kubernetes.io/serviceaccount"
question = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
request = urllib.request.Request(
    "https://kubernetes.default.svc/apis/authentication.k8s.io/v1/selfsubjectreviews", json.dumps(question).encode(),
    {"Authorization": "Bearer " + open(account + "/token").read(), "Content-Type": "application/json"},
)
answer = urllib.request.urlopen(request, context=ssl.create_default_context(cafile=account + "/ca.crt"), timeout=20)
names = ("COLOUR", "POD_NAME", "HOSTNAME", "KUBERNETES_SERVICE_HOST")
report = {"files": files, "host": socket.gethostname(), "environ": [os.environ.get(name) for name in names],
          "who": json.load(answer)["status"]["userInfo"]}
print("REPORT " + json.dumps(report, sort_keys=True), flush=True)
"""
# Then waits for what the test does to the pod, and tells what it sees of it.
WATCH = """
import errno, time
def show(word, **what):
    print("SEEN " + json.dumps([word, what]), flush=True)
def written(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return errno.errorcode[error.errno]
elsewhere = os.environ["ELSEWHERE"]
show("moved", colour=open(elsewhere + "/colour").read(), there=os.path.exists("/moved"),
     written=[written("/etc/app/new"), written("/etc/keys/new")])
deadline = time.monotonic() + 150
while open("/etc/app/colour").read() != "green" and time.monotonic() < deadline:
    time.sleep(0.1)
show("update", colour=open("/etc/app/colour").read(), links=os.readlink("/etc/app/..data") in os.listdir("/etc/app"))
while not os.path.exists("/data/big") and time.monotonic() < deadline:
    time.sleep(0.1)
began = time.monotonic()
with open("/data/big", "rb") as file:
    file.seek(3 << 30)
    there = file.read(5)
show("big", there=there.decode(), size=os.stat("/data/big").st_size, seconds=time.monotonic() - began)
open("/data/answer", "w").write("from here")
os.rename("/data/answer", "/data/renamed")
open("/claim/back", "w").write("from here")
show("written")
time.sleep(150)
"""
PATHS = (
    "/claim",
    "/etc/app",
    "/etc/keys",
    "/data",
    "/etc/one.conf",
    "/etc/pod",
    "/var/run/secrets/kubernetes.io/serviceaccount",
)


@pytest.fixture(autouse=True)
def fuse() -> Iterator[None]:
    with developer.fuse():
        yield


def deploy(scene: Scene) -> None:
    """One of each kind of volume; another container has one at the same path."""
    claim(scene)
    mounts = [
        {"name": "claim", "mountPath": "/claim"},
        {"name": "settings", "mountPath": "/etc/app"},
        {"name": "keys", "mountPath": "/etc/keys", "readOnly": True},
        {"name": "data", "mountPath": "/data"},
        {"name": "settings", "mountPath": "/etc/one.conf", "subPath": "colour"},
        {"name": "about", "mountPath": "/etc/pod"},
        {"name": "scratch", "mountPath": "/tmp"},
        {"name": "settings", "mountPath": "/moved"},
    ]
    label = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    volumes = [
        {"name": "claim", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "other", "emptyDir": {}},
        {"name": "settings", "configMap": {"name": "settings", "defaultMode": 0o640}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "data", "emptyDir": {}},
        {"name": "about", "projected": {"sources": [{"downwardAPI": {"items": [label]}}]}},
        {"name": "scratch", "emptyDir": {}},
    ]
    env = [
        {"name": "COLOUR", "value": "blue"},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "PYTHONPATH", "value": "/opt/site"},
    ]
    scene.kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "blue"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"password": "hush"}},
    )
    container = scene.container(volumeMounts=mounts, env=env)
    side = scene.container(
        {"containerPort": 7000}, name="side", volumeMounts=[{"name": "other", "mountPath": "/etc/app"}]
    )
    del side["readinessProbe"]
    scene.deploy(manifests.deployment(container, side, pod={"volumes": volumes}), manifests.service())


def claim(scene: Scene) -> None:
    """A PersistentVolumeClaim, and a folder of the node for it: not every cluster has somebody who makes volumes."""
    name = f"{scene.namespace}-claim"
    folder = f"/tmp/{name}"  # on the node; where that is this machine, it is removed here
    size = {"storage": "1Mi"}
    about = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    scene.kubectl.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
            **about, "capacity": size, "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": folder, "type": "DirectoryOrCreate"}}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim"}, "spec": {
            **about, "volumeName": name, "resources": {"requests": size}}},
    )  # fmt: skip
    scene.stack.callback(shutil.rmtree, folder, ignore_errors=True)
    scene.stack.callback(scene.kubectl, "delete", "pv", name, "--wait=false")


def report(running: Intercept) -> Object:
    line = running.wait_line(lambda line: line.text.startswith("REPORT "), 100, "report")
    found: Object = json.loads(line.text.removeprefix("REPORT "))
    return found


def seen(running: Intercept, word: str) -> Object:
    line = running.wait_line(lambda line: line.text.startswith(f'SEEN ["{word}"'), 150, word)
    found: Object = json.loads(line.text.removeprefix("SEEN "))[1]
    return found


def test_volumes_are_the_pods(scene: Scene) -> None:
    """Equal to the byte at the start; an update, a large file and what is written go through while it runs."""
    deploy(scene)
    (own,) = (pod["metadata"]["name"] for pod in scene.kubectl.pods())
    scene.kubectl("exec", own, "-c", "app", "--", "sh", "-c", "echo kept > /claim/there; ln -s there /claim/link")
    elsewhere = "/srv/elsewhere"
    with scene.unchanged():
        running = developer.run(
            scene, "run", "-n", scene.namespace, "-o", "json", "deploy/echo", "-c", "app", "--sandbox", "namespace",
            "--mount", "rw", "--mount", f"/moved:{elsewhere}", "--env", f"ELSEWHERE={elsewhere}",
            "--", developer.python(), "-c", PROBE + WATCH, *PATHS,
        )  # fmt: skip
        here = report(running)
        pod = running.wait_for("ready")["pod"]
        there = json.loads(scene.exec(pod, "python3", "-c", PROBE, *PATHS).partition("REPORT ")[2])
        assert there == here
        assert there["who"]["username"] == f"system:serviceaccount:{scene.namespace}:default"
        assert any("volume /tmp is left out" in event["text"] for event in running.events if event.name == "note")

        moved = {"colour": "blue", "there": False, "written": ["EROFS", "EROFS"]}
        assert seen(running, "moved") == moved
        scene.kubectl.patch("configmap/settings", {"data": {"colour": "green"}})
        # The kubelet looks at a pod's volumes about once a minute, and at once when the pod changes.
        scene.kubectl.patch(f"pod/{pod}", {"metadata": {"annotations": {"touched": "now"}}})
        updated = seen(running, "update")
        assert updated == {"colour": "green", "links": True}

        make = "f = open('/data/big.new', 'wb'); f.seek(3 << 30); f.write(b'there'); f.close()"
        scene.exec(pod, "python3", "-c", f"import os; {make}; os.rename('/data/big.new', '/data/big')")
        big = seen(running, "big")
        assert (big["there"], big["size"]) == ("there", (3 << 30) + 5)
        scene.measured(f"five bytes in the middle of three gigabytes: {big['seconds']:.2f} s")

        seen(running, "written")
        assert scene.exec(pod, "cat", "/data/renamed") == "from here"
        assert "/claim/there" in here["files"]
        assert scene.kubectl("exec", own, "-c", "app", "--", "cat", "/claim/back") == "from here"
        assert running.stop() == 130
        scene.kubectl.patch("configmap/settings", {"data": {"colour": "blue"}})


def test_volumes_are_copied_without_fuse(scene: Scene) -> None:
    """Where system calls are filtered as in a container COMMAND gets a proxy, and the same files in a folder: told, and gone
    at the end."""
    deploy(scene)
    show = (
        "import os; root = os.environ['INTERCEPTOR_ROOT']; "
        "print('ROOT', root, open(root + '/etc/app/colour').read(), oct(os.stat(root + '/etc/keys/password').st_mode))"
    )
    with scene.unchanged():
        running = developer.run(
            scene, "run", "-n", scene.namespace, "-o", "json", "deploy/echo", "-c", "app",
            "--", developer.python(), "-c", show, restriction="seccomp",
        )  # fmt: skip
        line = running.wait_line(lambda line: line.text.startswith("ROOT "), 100, "folder")
        assert running.wait(120) == 0
    _, root, colour, mode = line.text.split()
    assert (colour, mode) == ("blue", "0o100400")
    notes = [event["text"] for event in running.events if event.name == "note"]
    assert any(root in text for text in notes)
    assert any("by proxy only; interceptor doctor says" in text for text in notes)
    deadline = time.monotonic() + 60
    while scene.folder.joinpath(root).exists():
        assert time.monotonic() < deadline, f"{root} is left"
        time.sleep(0.1)
