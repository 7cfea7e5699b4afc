"""The network of the sandbox is the pod's, for a user without any rights: the same probe says the same in both."""

import json
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e import developer, manifests
from e2e.fingerprint import difference, machine
from e2e.intercept import Intercept
from e2e.kubectl import Object
from e2e.network import network
from e2e.scene import Scene, free_port

MANY = 60  # addresses of a Service
# Says who called it, over TCP and UDP.
PEER = """
import socket, threading
tcp, udp = socket.create_server(("", 7000)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 7000))
def datagrams():
    while True:
        data, peer = udp.recvfrom(65536)
        udp.sendto(peer[0].encode() + b" " + data, peer)
threading.Thread(target=datagrams).start()
while True:
    caller, peer = tcp.accept()
    with caller:
        caller.sendall(peer[0].encode())
"""
# Runs in the pod and in the sandbox.
PROBE = """
import errno, json, os, select, socket, struct, sys
namespace, peer, cluster_ip = sys.argv[1:4]
def code(error):
    return error.strerror if isinstance(error, socket.gaierror) else errno.errorcode.get(error.errno, str(error))
def tried(do, *arguments):
    try:
        return do(*arguments)
    except OSError as error:
        return code(error)
def resolved(name):
    found = socket.getaddrinfo(name, 7000, type=socket.SOCK_STREAM)
    return sorted(address[4][0] for address in found)
def asked(name, kind, tcp):
    server = next(line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver"))
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\\0"
    query = struct.pack("!HHHHHH", 77, 0x100, 1, 0, 0, 0) + labels + struct.pack("!HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect((server, 53))
        sock.sendall(struct.pack("!H", len(query)) + query if tcp else query)
        if tcp:
            with sock.makefile("rb") as said:
                answer = said.read(struct.unpack("!H", said.read(2))[0])
        else:
            answer = sock.recv(65536)
    return [answer[3] & 15, *struct.unpack_from("!HHH", answer, 4)[1:2], answer[:2].hex(), bool(answer[2] & 2)]
def connected(host, port, seconds=10):
    with socket.create_connection((host, port), seconds) as sock:
        return [sock.getpeername()[0], sock.getsockname()[0], sock.recv(100).decode()]
def refused(host, port, seconds=30):
    codes = []
    with socket.socket() as sock:
        sock.settimeout(seconds)
        codes.append(sock.connect_ex((host, port)))
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex((host, port))
        told = select.select([], [sock], [], seconds)[1]
        codes.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if told else -1)
    return [errno.errorcode.get(one, one) for one in codes]
def sent(host, size):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect((host, 7000))
        sock.send(b"x" * size)
        who, _, data = sock.recv(65536).partition(b" ")
        return [who.decode(), len(data)]
def in_a_row(host, sizes):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect((host, 7000))
        for size in sizes:
            sock.send(b"x" * size)
        return sorted(len(sock.recv(65536).partition(b" ")[2]) for _ in sizes)
def version_6():
    found = [tried(socket.create_connection, ("2001:db8::1", 80), 3)]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        found.append(tried(sock.sendto, b"x", ("2001:db8::1", 53)))
    with socket.socket(socket.AF_INET6) as sock:
        found.append(tried(sock.bind, ("::1", 0)))
    return found
def told(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect((host, 7009))
        sock.send(b"x")
        return sock.recv(1).decode()
service = f"peer.{namespace}.svc.cluster.local"
names = ["peer", f"peer.{namespace}", f"peer.{namespace}.svc", service, service + ".", "alone", "kubernetes.default",
         "other", "many", "localhost", "no-such-service", f"no-such.{namespace}", f"no-such.{namespace}.svc.cluster.local.",
         socket.gethostname()]
report = {
    "names": {name: tried(resolved, name) for name in names},
    "records": {f"{kind} {name} {tcp}": tried(asked, name, kind, tcp) for tcp in (False, True) for kind, name in (
        (1, service), (28, service), (33, f"_main._tcp.{service}"), (16, service), (5, service),
        (5, f"other.{namespace}.svc.cluster.local"), (16, "dns-version.cluster.local"),
        (1, f"many.{namespace}.svc.cluster.local"),
        (12, ".".join(reversed(cluster_ip.split("."))) + ".in-addr.arpa"), (1, f"no-such.{namespace}.svc.cluster.local"))},
    "callers": {host: tried(connected, host, 7000) for host in ("peer", "alone", peer)},
    "errors": {
        "closed port": refused(peer, 7001), "no such host": refused("10.244.77.7", 7000),
        "own, closed": refused("127.0.0.1", 7001),
        "no answer": refused("peer", 7001, 3), "IPv6": version_6()},
    "datagrams": {f"{host} {size}": tried(sent, host, size)
                  for host in ("peer", "alone") for size in (0, 1, 1400, 8000, 25000)},
    "datagrams in a row": tried(in_a_row, peer, [0, 1, 1400, 25000, 2, 0, 8000]),
    "closed datagrams": tried(told, peer),
    "host": [socket.gethostname(), socket.getfqdn()],
    "files": {path: open(path).read() for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/hostname")},
}
print("REPORT " + json.dumps(report, sort_keys=True), flush=True)
"""
# A static binary has no C library to bend: a connect() that does not block, and one that is refused.
STATIC = """
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int reach(const char *host, int port, char *said) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int code = 0, sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t size = sizeof code;
    inet_aton(host, &to.sin_addr);
    connect(sock, (struct sockaddr *)&to, sizeof to);
    struct pollfd waits = {.fd = sock, .events = POLLOUT};
    poll(&waits, 1, 10000);
    getsockopt(sock, SOL_SOCKET, SO_ERROR, &code, &size);
    if (code == 0) {
        waits.events = POLLIN;
        poll(&waits, 1, 10000);
        said[read(sock, said, 63)] = 0;
    }
    close(sock);
    return code;
}
int main(int argc, char **argv) {
    char said[64] = "";
    int code = reach(argv[1], 7000, said);
    printf("REPORT [%d, \\"%s\\", %d]\\n", code, said, reach(argv[1], 7001, said) == ECONNREFUSED);
    return argc == 2 ? 0 : 1;
}
"""


def deploy(scene: Scene) -> tuple[str, str]:
    """The workload, and a peer for it with a Service and a headless one; the peer's address and its Service's."""
    told = {"tcpSocket": {"port": 7000}, "periodSeconds": 1}
    peer = scene.container({"containerPort": 7000}, command=["python3", "-c", PEER], readinessProbe=told)
    ports = [{"name": "main", "port": 7000}, {"name": "word", "port": 7000, "protocol": "UDP"}]
    service, headless = (manifests.service(name, app="peer") for name in ("peer", "alone"))
    service["spec"]["ports"] = headless["spec"]["ports"] = ports
    headless["spec"]["clusterIP"] = "None"
    name = f"peer.{scene.namespace}.svc.cluster.local"
    other: Object = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"},
        "spec": {"type": "ExternalName", "externalName": name},
    }  # fmt: skip
    scene.deploy(
        manifests.deployment(scene.container()), manifests.service(), *many(),
        manifests.deployment(peer, name="peer"), service, headless, other,
    )  # fmt: skip
    scene.reachable("peer:7000")
    (pod,) = scene.kubectl.items("pods", "-l", "app=peer")
    address = scene.kubectl.json("get", "service/peer")["spec"]["clusterIP"]
    return str(pod["status"]["podIP"]), str(address)


def many() -> tuple[Object, Object]:
    """A Service of so many addresses that they don't fit a datagram: who asks for it goes on by TCP."""
    addresses = [{"addresses": [f"10.99.0.{number}"], "conditions": {"ready": True}} for number in range(1, MANY + 1)]
    labels = {"kubernetes.io/service-name": "many"}
    ports = [{"name": "main", "port": 7000, "protocol": "TCP"}]
    return (
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "many"},
         "spec": {"clusterIP": "None", "ports": [{"name": "main", "port": 7000}]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "many", "labels": labels},
         "addressType": "IPv4", "endpoints": addresses, "ports": ports},
    )  # fmt: skip


def run(scene: Scene, *command: str) -> Intercept:
    return developer.run(
        scene, "run", "-n", scene.namespace, "-o", "json", "deploy/echo", "--sandbox", "namespace", "--", *command
    )


def report(running: Intercept) -> Any:
    line = running.wait_line(lambda line: line.text.startswith("REPORT "), 150, "report")
    return json.loads(line.text.removeprefix("REPORT "))


def test_network_is_the_pods(scene: Scene) -> None:
    """Names, callers, errors and datagrams are field by field what a program in the same pod sees."""
    places = deploy(scene)
    with scene.unchanged():
        before = machine() | network()
        script = f"{PROBE}import time\ntime.sleep(100)"
        running = run(scene, developer.python(), "-c", script, scene.namespace, *places)
        here = report(running)
        pod = running.wait_for("ready")["pod"]
        there = json.loads(scene.exec(pod, "python3", "-c", PROBE, scene.namespace, *places).partition("REPORT ")[2])
        assert here == there
        assert here["errors"]["closed port"] == ["ECONNREFUSED"] * 2
        assert len(here["names"]["many"]) == MANY
        service = f"{scene.namespace}.svc.cluster.local"
        assert here["records"][f"1 many.{service} False"][-1]  # cut off
        assert here["records"][f"1 many.{service} True"][1] == MANY
        assert here["records"][f"5 other.{service} False"][1] == 1
        assert not difference(before, machine() | network())
        assert running.stop() == 130


def test_static_binary_is_the_same(scene: Scene, tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    binary = tmp_path / "reach"
    made = subprocess.run(
        [compiler, "-static", "-x", "c", "-", "-o", str(binary)], input=STATIC, text=True, check=False
    )
    if made.returncode:
        pytest.skip("no static C library here")
    peer, _ = deploy(scene)
    running = run(scene, str(binary), peer)
    code, said, refused = report(running)
    assert code == 0
    assert refused == 1
    assert str(said).startswith("10.")
    assert running.wait(120) == 0


# A server as its author wrote it, which asks its neighbours in the pod (scenario 16), then answers.
SERVE = """
import errno, http.server, json, socket, sys, threading
def neighbour(port, host="localhost"):
    try:
        with socket.create_connection((host, port), 10) as sock:
            return sock.recv(100).decode()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
def word(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(b"x" * 25000, ("127.0.0.1", port))
        who, _, data = sock.recv(65536).partition(b" ")
        return [who.decode(), len(data)]
own, chosen, not_chosen, beyond, address = *map(int, sys.argv[1:5]), sys.argv[5]
def words():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 5000))
        while True:
            data, peer = sock.recvfrom(65536)
            sock.sendto(b"SANDBOX " + data, peer)
threading.Thread(target=words, daemon=True).start()
other = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: other.accept()[0].sendall(b"other"), daemon=True).start()
print("REPORT " + json.dumps({
    "sidecar": neighbour(7000), "nobody": neighbour(7001), "datagram": word(7000), "chosen": neighbour(chosen),
    "not chosen": neighbour(not_chosen), "beyond": neighbour(beyond, address), "other": other.getsockname()[1]}), flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = b"SANDBOX"
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", own), Handler).serve_forever()
"""

# Scenario 17, in a pod: datagrams to a Service, each asked for anew until it is answered, as who uses them does.
ASK_WORDS = """
import json, socket, sys, time
said, deadline = {}, time.monotonic() + 60
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(2)
    sock.connect((sys.argv[1], 5000))
    for size in (0, 1, 25000):
        while str(size) not in said and time.monotonic() < deadline:
            try:
                sock.send(b"x" * size)
                answer = sock.recv(65536)
            except OSError:
                time.sleep(0.2)
                continue
            if len(answer) == 8 + size:  # not one to an earlier try
                said[str(size)] = answer[:8].decode() + str(len(answer))
print(json.dumps(said))
"""


@contextmanager
def telling(word: str, host: str = "127.0.0.1") -> Iterator[int]:
    """A server of this machine; its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(word.encode())

    with socketserver.ThreadingTCPServer((host, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def own_address() -> str:
    """One of this machine's that is not loopback, or loopback where it has none. Nothing is sent: it asks for the route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(sock.getsockname()[0])


def test_callers_reach_the_sandbox(scene: Scene) -> None:
    """The Service's callers, and a browser on this machine; COMMAND its pod's neighbours; kill -9 leaves nothing."""
    side = scene.container({"containerPort": 7000}, name="side", command=["python3", "-c", PEER])
    del side["readinessProbe"]
    ports = [{"containerPort": 8080}, {"containerPort": 5000, "protocol": "UDP"}]
    words = manifests.service("words", 5000, port=5000, protocol="UDP")
    scene.deploy(manifests.deployment(scene.container(ports=ports), side), manifests.service(), words)
    scene.tools()
    port = free_port()
    before = scene.fingerprint()
    here = machine(*scene.homes) | network()
    address = own_address()
    with telling("chosen") as chosen, telling("another") as another, telling("beyond", address) as beyond:
        running = developer.run(
            scene, "intercept", "-n", scene.namespace, "-o", "json", "deploy/echo", "-c", "app", "--sandbox", "namespace",
            "-p", f"{port}:8080", "-p", "5000", "--local", str(chosen), "--local", f"{address}:{beyond}",
            "--", developer.python(), "-c", SERVE, *map(str, (port, chosen, another, beyond)), address,
        )  # fmt: skip
        running.wait_for("ready")
        said = report(running)
    other = said.pop("other")
    assert said == {
        "sidecar": "127.0.0.1", "nobody": "ECONNREFUSED", "datagram": ["127.0.0.1", 25000],
        "chosen": "chosen", "not chosen": "ECONNREFUSED", "beyond": "beyond",
    }  # fmt: skip
    running.wait_line(lambda line: f"port {other} of COMMAND is 127.0.0.1:{other}" in line.text, 60, "published port")
    with socket.create_connection(("127.0.0.1", other), 60) as sock:
        assert sock.recv(100) == b"other"
    scene.expect("http://echo", "200 SANDBOX")
    seen = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True)
    assert seen.stdout == "SANDBOX"
    told = json.loads(scene.in_tools("python3", "-c", ASK_WORDS, "words"))
    assert told == {str(size): f"SANDBOX {size + 8}" for size in (0, 1, 25000)}
    running.send(signal.SIGKILL)
    running.wait(120)
    scene.expect_same(before)
    deadline = time.monotonic() + 60
    while told := difference(here, machine(*scene.homes) | network()):
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    scene.expect_nothing_here()
