"""Datagrams of a sandbox: each arrives whole, from where it was sent to; what ICMP says arrives too."""

import errno
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.sandbox.world import ADDRESSES, OWN_PORT, report

pytestmark = pytest.mark.slow  # an agent and a sandbox each

SEND = """
import json, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
said = []
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(20)
    for size in json.loads(sys.argv[3]):
        sock.sendto(b"x" * size, (host, port))
        data, peer = sock.recvfrom(65536)
        said.append([len(data), peer[0], peer[1]])
print(json.dumps(said))
"""
REFUSED = """
import json, socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(20)
    sock.connect((sys.argv[1], int(sys.argv[2])))
    sock.send(b"x")
    try:
        sock.recv(10)
    except OSError as error:
        print(error.errno)
"""


@pytest.fixture(params=["127.0.0.1", "::1"])
def echo(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """Sends every datagram back."""
    host = request.param
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))

    def serve() -> None:
        while True:
            data, peer = sock.recvfrom(65536)
            if data == b"end":
                return
            sock.sendto(data, peer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield sock.getsockname()[:2]
    with socket.socket(sock.family, socket.SOCK_DGRAM) as last:
        last.sendto(b"end", sock.getsockname())
    thread.join()
    sock.close()


def test_boundaries_are_kept(echo: tuple[str, int]) -> None:
    sizes = [1, 0, 1400, 9000, 65000]
    host, port = echo
    assert report(SEND, host, str(port), json.dumps(sizes)) == [[size, host, port] for size in sizes]


def test_refusal_comes_back() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    assert report(REFUSED, "127.0.0.1", str(port)) == errno.ECONNREFUSED


def test_own_port_is_nobody_elses() -> None:
    """An intercepted port on which COMMAND does not listen refuses at once: the pod would send the datagram back to us."""
    for address in (ADDRESSES[0], "127.0.0.1"):
        assert report(REFUSED, address, str(OWN_PORT)) == errno.ECONNREFUSED
