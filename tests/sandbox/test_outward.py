"""Connections of a sandbox: they go out from the pod, and fail as they would there."""

import errno
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from interceptor.wire.reasons import Reason
from tests.sandbox.world import ADDRESSES, OWN_PORT, TELLING, program, report, run, start_program

pytestmark = pytest.mark.slow  # an agent and a sandbox each

CONNECT = """
import json, select, socket, sys
def blocking(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.settimeout(20)
        return sock.connect_ex((host, port))
def polled(host, port):
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex((host, port))
        select.select([], [sock], [], 20)
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
print(json.dumps([[blocking(*place), polled(*place)] for place in json.loads(sys.argv[1])]))
"""
TALK = """
import json, socket, sys
said = []
for host, port in json.loads(sys.argv[1]):
    with socket.create_connection((host, port), 20) as sock:
        ends = [sock.getsockname()[0], sock.getpeername()[0]]
        sock.sendall(b"x" * 200000)
        sock.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: sock.recv(65536), b""))
        said.append([len(got), *ends])
print(json.dumps(said))
"""


@pytest.fixture
def echo() -> Iterator[int]:
    """A server on this machine's loopbacks that sends back what it got once the caller has ended; its port."""
    server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)

    def serve() -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            with caller, caller.makefile("rb") as said:
                caller.sendall(said.read())

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_refusals_are_the_pods() -> None:
    expected = {
        Reason.REFUSED: errno.ECONNREFUSED,
        Reason.UNREACHABLE: errno.EHOSTUNREACH,
        Reason.NETWORK: errno.ENETUNREACH,
        Reason.DENIED: errno.EHOSTUNREACH,
    }
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    places = [(TELLING, int(reason)) for reason in expected]
    found = report(CONNECT, json.dumps([*places, ("127.0.0.1", port), (ADDRESSES[0], OWN_PORT)]))
    wanted = [*expected.values(), errno.ECONNREFUSED, errno.ECONNREFUSED]
    assert found == [[number, number] for number in wanted]


def test_time_out_is_the_kernels() -> None:
    """No answer makes connect() wait on, as a packet lost would."""
    script = CONNECT.replace("settimeout(20)", "settimeout(0.5)").replace("[], 20)", "[], 0.5)")
    assert report(script, json.dumps([(TELLING, int(Reason.TIMEOUT))])) == [[errno.EAGAIN, 0]]


def test_loopback_is_the_pods(echo: int) -> None:
    """A sidecar listens on the pod's loopback; half-close goes both ways."""
    places = [("127.0.0.1", echo), ("::1", echo)]
    assert report(TALK, json.dumps(places)) == [[200000, host, host] for host, _ in places]


def test_own_listener_comes_first(echo: int) -> None:
    script = "import socket, sys; S = socket.create_server(('', int(sys.argv[2]))); " + TALK.replace(
        'sock.sendall(b"x" * 200000)', "S.accept()[0].send(b'mine')"
    )
    assert report(script, json.dumps([("127.0.0.1", echo)]), str(echo))[0][0] == 4


def test_chosen_port_is_the_machines(echo: int) -> None:
    assert report(TALK, json.dumps([("localhost", echo)]), local=[echo])[0][0] == 200000
    assert report(TALK, json.dumps([("localhost", echo)]), whole=True)[0][0] == 200000


def test_many_at_once(echo: int) -> None:
    script = """
import asyncio, sys
async def one():
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    writer.write(b"hello"); writer.write_eof()
    assert await reader.read() == b"hello"
    writer.close()
async def all():
    async with asyncio.TaskGroup() as group:
        for _ in range(200): group.create_task(one())
asyncio.run(all()); print("0")
"""
    assert report(script, str(echo)) == 0


def test_few_descriptors_are_enough(echo: int) -> None:
    """More connections than this program may have files: some wait or fail, none of it is told as a fault of ours."""
    script = """
import socket, sys, time
held = []
for _ in range(70):
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(("127.0.0.1", int(sys.argv[1])))
    held.append(sock)
time.sleep(1)
for sock in held:
    sock.close()
deadline = time.monotonic() + 40
while time.monotonic() < deadline:
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b"hello"
            print("through")
            break
    except OSError:
        time.sleep(0.2)
"""
    command = program("/usr/bin/env", "python3", "-c", script, str(echo))
    with start_program(["sh", "-c", 'ulimit -n 90; exec "$@"', "sh", *command]) as process:
        out, err = process.communicate(timeout=100)
    assert out == "through\n", err
    assert "Traceback" not in err


def test_name_of_no_service_listens() -> None:
    """The client's own listener, met directly, serves nobody."""
    ran = run("/usr/bin/env", "python3", "-c", "import socket; print(socket.socket().connect_ex(('127.0.0.1', 1)))")
    assert int(ran.stdout) == errno.ECONNREFUSED, ran.stderr
