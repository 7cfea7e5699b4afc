"""What COMMAND listens on is at the same port of this machine's loopback, as long as it listens."""

import socket

import pytest

from tests.sandbox.world import PUBLISHED, start

pytestmark = pytest.mark.slow  # an agent and a sandbox each

LISTEN = """
import socket, sys
family, host, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with socket.create_server((host, port), family=family) as server:
    for _ in range(2):
        caller, _ = server.accept()
        with caller, caller.makefile("rb") as said:
            caller.sendall(said.read().upper())
sys.stdin.read()
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def talk(port: int, host: str = "127.0.0.1") -> bytes:
    with socket.create_connection((host, port), 10) as sock, sock.makefile("rb") as said:
        sock.sendall(b"hello" * 50000)
        sock.shutdown(socket.SHUT_WR)
        return said.read()


def test_port_comes_and_goes() -> None:
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
        port = free_port()
        with start("/usr/bin/env", "python3", "-c", LISTEN, str(int(family)), host, str(port)) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == f"{PUBLISHED}{port} \n"
            assert talk(port) == b"HELLO" * 50000
            assert talk(port) == b"HELLO" * 50000
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port), 10).close()
                except ConnectionRefusedError:
                    break
            client.communicate(timeout=20)
            assert client.returncode == 0


def test_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start("/usr/bin/env", "python3", "-c", LISTEN, "2", "127.0.0.1", str(port)) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == f"{PUBLISHED}{port} Address already in use\n"
            client.kill()
            client.communicate(timeout=20)
