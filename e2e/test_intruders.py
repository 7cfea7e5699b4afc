"""Others in the cluster, and others with the right to port-forward, knock at the agent: refused, and nobody notices."""

import base64
import json
import socket
import ssl
import time

from e2e.process import Process
from e2e.scene import Scene
from interceptor.workload.authority import Authority

# From inside the agent's own pod, as a sidecar could: noise on connections of its own, and a slow-loris beside it.
NOISE = """
import random, socket, sys
at = ("127.0.0.1", int(sys.argv[1]))
loris = [socket.create_connection(at, 10) for _ in range(200)]
dice = random.Random(1)
for number in range(2000):
    with socket.create_connection(at, 10) as sock:
        try:
            sock.sendall(b"".join(dice.randbytes(20) for _ in range(5)))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
        except ConnectionError:
            pass
print("done", len(loris))
"""
DIAL = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
except OSError as error:
    print(type(error).__name__)
"""


def refusal(port: int, session: str, context: ssl.SSLContext) -> str:
    """TLS with the agent as somebody else; how that ended."""
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        raw = socket.create_connection(("127.0.0.1", port), 10)
        with context.wrap_socket(raw, server_hostname=session) as tls:
            return "closed" if tls.recv(100) == b"" else "answered"
    except (ssl.SSLError, OSError) as error:
        return str(error).lower()


def test_intruders_are_refused(scene: Scene) -> None:
    scene.echo()
    scene.tools()
    load = scene.load(rate=20)
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        load.wait_steady("LOCAL")
        held = time.time()
        session = intercept.wait_for("planned")["session"]
        (pod,) = scene.kubectl.pods()
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        secret = scene.kubectl.json("get", "secret", f"interceptor-{session}")["data"]
        port = json.loads(base64.b64decode(secret["config.json"]))["tunnel_port"]

        assert scene.in_tools("python3", "-c", DIAL, address, str(port)).strip() == "ConnectionRefusedError"

        forward = scene.stack.enter_context(Process([*scene.kubectl.argv, "port-forward", name, f":{port}"]))
        line = forward.wait_line(lambda line: line.text.startswith("Forwarding from 127.0.0.1"), 60, "port-forward")
        near = int(line.text.split(" -> ")[0].rpartition(":")[2])
        other = Authority.create(session).client_context()
        other.verify_flags &= ~ssl.VERIFY_X509_STRICT
        assert "unknown ca" in refusal(near, session, other)
        assert "certificate required" in refusal(near, session, ssl.create_default_context())
        forward.close()

        assert scene.exec(name, "python3", "-c", NOISE, str(port), timeout=200).strip() == "done 200"
        load.run_for(1)
        until = time.time()
        log = scene.kubectl("logs", name)
        assert 1 <= log.count("was refused") <= 3, log  # once for each reason, whoever knocks how often
        assert scene.kubectl.restarts() == 0
        assert intercept.stop() == 130, intercept.transcript()
    assert "lost" not in {event.name for event in intercept.events}, intercept.transcript()
    report = load.finish()
    assert report.between(held, until).words() == {"LOCAL"}, report.told()
    assert not report.failed, report.failed[:3]
