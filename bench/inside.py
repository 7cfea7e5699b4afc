"""Runs in the sandbox and does what `world` types: programs, one after the other; names and files are timed here.

Standard library only: it is started as a file, by the COMMAND of an `interceptor run`.
"""

import json
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

Figures = dict[str, float]

_ROOM = 1024 * 1024


def names(name: str, seconds: float, *, cached: bool) -> Figures:
    """Microseconds of a question to the pod's name server.

    One that was not asked before is the same name in other letters (as resolvers do against forgery): nobody may answer
    it but a name server, and that has it at hand.
    """
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    server = next(line.split()[1] for line in lines if line.startswith("nameserver"))
    taken: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((server, 53))
        if cached:
            _ask(sock, name)
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            _ask(sock, name if cached else _spelled(name))
            taken.append((time.perf_counter() - began) * 1e6)
    return {"p50us": statistics.median(taken), "n": len(taken)}


def _ask(sock: socket.socket, name: str) -> None:
    number = random.randbytes(2)  # noqa: S311  no secret
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    sock.send(number + struct.pack("!HHHHH", 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1))
    answer = sock.recv(4096)
    if answer[:2] != number or answer[3] & 15 or answer[6:8] == b"\0\0":
        raise SystemExit(f"no answer to {name}: {answer!r}")


def _spelled(name: str) -> str:
    return "".join(random.choice((letter, letter.upper())) for letter in name)  # noqa: S311  no secret


def read(path: str, size: int) -> Figures:
    """MB/s of reading a whole file in pieces of a mebibyte."""
    buffer, got = memoryview(bytearray(_ROOM)), 0
    began = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            got += count
    seconds = time.perf_counter() - began
    if got != size:
        raise SystemExit(f"{path} has {got} bytes, not {size}")
    return {"MBps": got / 1e6 / seconds}


def obey(line: str) -> dict[str, object]:
    """One thing to do, as a JSON object; what came of it."""
    wanted = json.loads(line)
    if "argv" in wanted:
        done = subprocess.run(
            wanted["argv"], env={**os.environ, **wanted["env"]}, capture_output=True, text=True, check=False
        )
        return {"stdout": done.stdout, "stderr": done.stderr}
    if "names" in wanted:
        return {"figures": names(wanted["names"], wanted["seconds"], cached=wanted["cached"])}
    return {"figures": read(wanted["read"], wanted["size"])}


def main() -> None:
    """Obey each line of stdin."""
    for number, line in enumerate(sys.stdin):
        print(f"DID {number} {json.dumps(obey(line))}", flush=True)


if __name__ == "__main__":
    main()
