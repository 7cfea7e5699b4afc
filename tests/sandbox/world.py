"""A sandbox whose pod is this machine: a program that runs COMMAND in one, as an unprivileged user, with a real agent.

`run` and `start` in here start it from tests: as somebody else than root where the tests run as root, because that is
who must be able to. It takes one argument, JSON: `command`, and optionally `hosts`, `mounts`, `local`, `whole`.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from interceptor.sandbox import doors
from interceptor.sandbox.datagrams import Datagrams
from interceptor.sandbox.machine import Machine
from interceptor.sandbox.namespace import open_namespace
from interceptor.sandbox.outward import Outward
from interceptor.sandbox.ports import Ports
from interceptor.sandbox.process import find_command
from interceptor.sandbox.spec import File, Mount, MountKind, Network, Spec
from interceptor.tunnel.client import Done, Opening, Outgoing, Tunnel
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire.reasons import Reason
from tests.agent.running import local_side, running_agent, tunnel_to

REPOSITORY = Path(__file__).resolve().parents[2]
NOBODY = 65534
ADDRESSES = ("198.51.100.7", "2001:db8::7")
OWN_PORT = 8080
TELLING = "198.18.0.1"  # connecting there to port N is refused for reason N, as if the pod had said so
PUBLISHED = "published "


class Pod:
    """Connects from this machine by way of the agent."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def begin(self, host: str, port: int, done: Done) -> Opening:
        if host == TELLING:
            raise StreamRefused(Reason(port), "so")
        return self._tunnel.begin({"host": host, "port": port}, host, done)

    async def open_flow(self, host: str, port: int) -> Outgoing:
        return await self._tunnel.open({"host": host, "port": port, "udp": True}, host)


async def live(wish: dict[str, Any]) -> int:
    command = wish["command"]
    spec = Spec(
        argv=tuple(command),
        executable=find_command(command),
        environ=dict(os.environ),
        hostname="orders-7d4f",
        mounts=tuple(Mount(MountKind(kind), target, source, ro) for kind, target, source, ro in wish.get("mounts", [])),
        files=(File("/etc/hosts", wish.get("hosts", "127.0.0.1 localhost\n")),),
        network=Network(ADDRESSES, (("TCP", OWN_PORT), ("UDP", OWN_PORT))),
    )
    with tempfile.TemporaryDirectory() as folder, running_agent(Path(folder)) as agent:
        async with tunnel_to(agent, local_side({}), arm=False) as tunnel, open_namespace(spec) as space:
            pod = Pod(tunnel)
            machine = Machine(wish.get("local", ()), whole=wish.get("whole", False))
            async with asyncio.TaskGroup() as group:
                services = [
                    group.create_task(service.serve())
                    for service in (
                        Outward(space.doors, pod, machine),
                        Datagrams(space.doors, (), pod),
                        Ports(space.doors[doors.DIAG], space.pool, _tell),
                    )
                ]
                try:
                    return await space.run()
                finally:
                    for service in services:
                        service.cancel()


def _tell(port: int, why: str) -> None:
    sys.stdout.write(f"{PUBLISHED}{port} {why}\n")
    sys.stdout.flush()


# --- for the tests ----------------------------------------------------------------------------------------------------


def program(*command: str, **wish: Any) -> list[str]:
    """What runs COMMAND in a sandbox."""
    return module("tests.sandbox.world", json.dumps({"command": command, **wish}))


def module(name: str, *arguments: str) -> list[str]:
    """What runs a module, for `start_program`."""
    return [_interpreter()[0], "-m", name, *arguments]


def start(*command: str, **wish: Any) -> subprocess.Popen[str]:
    """Start COMMAND in a sandbox, as an unprivileged user."""
    return start_program(program(*command, **wish))


def start_program(words: list[str], *, terminal: int | None = None) -> subprocess.Popen[str]:
    """Start a program as an unprivileged user; on a terminal of its own if one is given."""
    away: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *_interpreter()[1]]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": "/tmp",
    }
    stream = subprocess.PIPE if terminal is None else terminal
    started: subprocess.Popen[str] = subprocess.Popen(
        words,
        cwd="/tmp",
        env=environ,
        text=True,
        stdin=stream,
        stdout=stream,
        stderr=stream,
        preexec_fn=None if terminal is None else _take_terminal,  # noqa: PLW1509  tests have no threads here
        **away,
    )
    return started


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def run(*command: str, **wish: Any) -> subprocess.CompletedProcess[str]:
    """Run COMMAND in a sandbox to its end."""
    with start(*command, **wish) as process:
        out, err = process.communicate(timeout=50)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def report(script: str, *arguments: str, **wish: Any) -> Any:
    """Run a Python script in a sandbox; what it prints last, as JSON."""
    ran = run("/usr/bin/env", "python3", "-c", script, *arguments, **wish)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@functools.cache
def _interpreter() -> tuple[str, Sequence[str]]:
    """An interpreter of this version that the unprivileged user may run, and where its packages are."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    if os.getuid() != 0:
        return sys.executable, packages
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}", shutil.which(version) or ""):
        try:
            subprocess.run(
                [candidate, "-c", "import cryptography"],
                env={"PYTHONPATH": os.pathsep.join(packages)},
                user=NOBODY, group=NOBODY, extra_groups=[], cwd="/tmp", check=True, capture_output=True,
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate, packages
    pytest.skip(f"no {version} here that an unprivileged user may run")


if __name__ == "__main__":
    sys.exit(asyncio.run(live(json.loads(sys.argv[1]))))
