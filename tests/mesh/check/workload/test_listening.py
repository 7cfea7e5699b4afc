"""The kernel's list of sockets."""

from __future__ import annotations

import subprocess
import sys

from interceptor.mesh.check.workload.listening import Heard, listeners

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(local: str, state: str = "0A") -> str:
    return f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 1\n"


def test_who_may_come() -> None:
    text = HEAD + line("00000000:1F90") + line("0100007F:1F91") + line("00000000000000000000000001000000:1F92")
    assert listeners(text) == {8080: Heard.EVERYBODY, 8081: Heard.LOOPBACK_ONLY, 8082: Heard.LOOPBACK_ONLY}


def test_both_families_count() -> None:
    assert listeners(line("0100007F:1F90") + line("0" * 32 + ":1F90")) == {8080: Heard.EVERYBODY}


def test_connections_are_no_listeners() -> None:
    assert listeners(line("00000000:1F90", "01")) == {}


def test_real_kernel() -> None:
    program = (
        "import socket; a = socket.create_server(('127.0.0.1', 0)); b = socket.create_server(('', 0));"
        "print(a.getsockname()[1], b.getsockname()[1]); print(open('/proc/net/tcp').read())"
    )
    text = subprocess.run(
        [sys.executable, "-c", program], text=True, capture_output=True, check=True, timeout=30
    ).stdout
    ports, _, table = text.partition("\n")
    one, two = map(int, ports.split())
    found = listeners(table)
    assert (found[one], found[two]) == (Heard.LOOPBACK_ONLY, Heard.EVERYBODY)
