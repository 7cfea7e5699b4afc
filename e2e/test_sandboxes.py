"""Sandboxes beside each other and beside this machine: none sees another, and the machine's own network stays as it is."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from e2e import developer, manifests
from e2e.fingerprint import difference
from e2e.intercept import Intercept
from e2e.kubectl import Kubectl, Object
from e2e.network import network
from e2e.scene import Scene, free_port

pytestmark = pytest.mark.timeout(600)  # their own bounds come first, also on a busy machine

SERVICES = 10
CALLS = 1000  # of each
# Ten servers in one pod: each answers with its word and its number.
TEN = """
import asyncio, sys
async def main():
    async def answer(reader, writer, number):
        await reader.readuntil(b"\\r\\n\\r\\n")
        body = f"{sys.argv[1]}-{number}".encode()
        writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
        await writer.drain()
        writer.close()
    for number in range(10):
        await asyncio.start_server(lambda r, w, n=number: answer(r, w, n), "", 7000 + number, backlog=4096)
    await asyncio.Event().wait()
asyncio.run(main())
"""
# COMMAND: listens on a port of its own, and tells what it sees; then again whenever a file for it appears.
WORLD = """
import collections, concurrent.futures, errno, http.client, json, os, pathlib, socket, sys, threading, time
own, other, folder, only_other = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
server = socket.create_server(("127.0.0.1", own))
def asked(name, port=80):
    try:
        connection = http.client.HTTPConnection(name, port, timeout=20)
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except socket.gaierror as error:
        return "unknown" if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA) else error.strerror
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
def tell(word, **what):
    print("SEEN " + json.dumps([word, what]), flush=True)
def look(word):
    tell(word, service=asked("s0"), stranger=asked(only_other), port=asked("127.0.0.1", other), host=socket.gethostname(),
         processes=len([name for name in os.listdir("/proc") if name.isdigit()]),
         hosts=open("/etc/hosts").read(), resolv=open("/etc/resolv.conf").read())
def wait(name):
    while not folder.joinpath(name).exists():
        time.sleep(0.05)
look("first")
wait("look-again")
look("again")
if only_other.startswith("only-b"):
    answers, began = collections.Counter(), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        names = [f"s{number}" for number in range(10)] * int(sys.argv[5])
        for name, answer in zip(names, pool.map(asked, names)):
            answers[name + " " + answer] += 1
    tell("calls", answers=answers, seconds=time.monotonic() - began)
threading.Event().wait()
"""


def deploy(kubectl: Kubectl, image: str, word: str) -> None:
    """The workload, the ten Services, and one that only this namespace has."""
    ten: Object = {
        "name": "app", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["python3", "-c", TEN, word],
        "readinessProbe": {"tcpSocket": {"port": 7009}, "periodSeconds": 1},
    }  # fmt: skip
    names = [(f"s{number}", 7000 + number) for number in range(SERVICES)] + [(f"only-{word.lower()}", 7000)]
    kubectl.apply(
        manifests.deployment(manifests.container(image)),
        manifests.deployment(ten, name="ten"),
        *(manifests.service(name, port, app="ten") for name, port in names),
    )
    kubectl.rolled_out("deployment/echo", "deployment/ten")
    places = (f"{name}:80" for name, _ in names)
    kubectl.ask("deploy/echo", "python3", "-m", "e2e.programs.client", "reach", *places)


def second(scene: Scene) -> Kubectl:
    """Another namespace, and a kubeconfig of its own that leads there."""
    path = scene.folder / "second"
    shutil.copy(scene.kubectl.kubeconfig, path)
    kubectl = Kubectl(path, f"{scene.namespace}-b")
    kubectl("config", "set-context", "--current", f"--namespace={kubectl.namespace}")
    kubectl("create", "namespace", kubectl.namespace)
    scene.stack.callback(kubectl, "delete", "namespace", kubectl.namespace, "--wait=false")
    if os.geteuid() == 0:
        os.chown(path, developer.NOBODY, developer.NOBODY)
    return kubectl


def seen(running: Intercept, word: str, within: float = 90) -> Object:
    line = running.wait_line(lambda line: line.text.startswith(f'SEEN ["{word}"'), within, word)
    found: Object = json.loads(line.text.removeprefix("SEEN "))[1]
    return found


def command_of(running: Intercept) -> psutil.Process:
    """COMMAND: of the client's children the innermost that runs the program above."""
    found = [one for one in psutil.Process(running.pid).children(recursive=True) if WORLD in one.cmdline()]
    assert found, running.transcript()
    return found[-1]


def expect_network(before: dict[str, str], when: str, within: float = 0) -> None:
    """This machine's own network is as it was."""
    deadline = time.monotonic() + within
    while told := difference(before, network()):
        assert time.monotonic() < deadline, f"{when}:\n{told}"
        time.sleep(0.1)


def test_sandboxes_stay_apart(scene: Scene) -> None:
    """Two at once, of different kubeconfigs and namespaces; 10,000 calls; kill -9 of COMMAND and of a client."""
    theirs = second(scene)
    deploy(scene.kubectl, scene.image, "A")
    deploy(theirs, scene.image, "B")
    before = network()
    ports = free_port(), free_port()

    def start(own: int, other: int, stranger: str, *where: str) -> Intercept:
        # With its last dot, because a cluster that can't ask the outside says "try again" to the name alone.
        name = f"{stranger}.{theirs.namespace if '--kubeconfig' in where else scene.namespace}.svc.cluster.local."
        code = (developer.python(), "-c", WORLD, str(own), str(other), str(scene.folder), name, str(CALLS))
        return developer.run(scene, "run", *where, "-o", "json", "deploy/echo", "--sandbox", "namespace", "--", *code)

    second_one = start(ports[1], ports[0], "only-a", "--kubeconfig", str(theirs.kubeconfig))
    assert seen(second_one, "first")["service"] == "B-0"
    first_one = start(ports[0], ports[1], "only-b", "-n", scene.namespace)
    seen(first_one, "first")
    expect_network(before, "while two sandboxes are up")
    Path(scene.folder / "look-again").touch()
    here, there = seen(first_one, "again"), seen(second_one, "again")
    for one, word, running in ((here, "A", first_one), (there, "B", second_one)):
        assert one["service"] == f"{word}-0"
        assert one["stranger"] == "unknown"
        assert one["port"] == "ECONNREFUSED"  # the other listens there; on this machine's loopback one could reach it
        assert one["processes"] < 10
        assert one["host"] == running.wait_for("ready")["pod"]
    assert f"{theirs.namespace}.svc" in there["resolv"]
    assert f"{theirs.namespace}.svc" not in here["resolv"]

    calls = seen(first_one, "calls", 400)
    assert calls["answers"] == {f"s{number} A-{number}": CALLS for number in range(SERVICES)}
    scene.measured(f"{SERVICES * CALLS / calls['seconds']:.0f} calls/s by name, each on a connection of its own")

    command_of(second_one).kill()
    assert second_one.wait(120) == 128 + signal.SIGKILL, second_one.transcript()
    expect_network(before, "after kill -9 of COMMAND")
    first_one.send(signal.SIGKILL)
    first_one.wait(120)
    expect_network(before, "after kill -9 of the client")
    scene.expect_nothing_here()
    expect_network(before, "at the end")
