"""A real agent as a process of its own on a loopback address of its own, and a tunnel to it, for tests of both ends."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interceptor.tunnel.aio import AsyncioPoller
from interceptor.tunnel.client import Tunnel
from interceptor.tunnel.local import LocalSide
from interceptor.wire.reasons import Reason
from interceptor.wire.tls import TlsLayer
from interceptor.workload.authority import Authority

REPOSITORY = Path(__file__).resolve().parents[2]
SESSION = "orders-x7f2q"
APP, TUNNEL, HEALTH = 8080, 47811, 47812
UP_WITHIN = 20.0  # seconds; a hundredth of it where nothing else runs


@dataclass
class Agent:
    """A running agent: where it listens, and its process."""

    bind: str
    folder: Path
    authority: Authority
    process: subprocess.Popen[bytes]
    log: Path
    ended: int | None = field(default=None)

    @property
    def words(self) -> str:
        return self.log.read_text()

    def rss(self) -> int:
        """Kilobytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def exit_code(self, within: float = 30.0) -> int:
        return await asyncio.to_thread(self.process.wait, within)

    async def says(self, text: str, within: float = 30.0) -> None:
        """Return when the agent's log holds `text`."""
        async with asyncio.timeout(within):
            while text not in self.words:  # noqa: ASYNC110  another process writes it
                await asyncio.sleep(0.02)


def loopback() -> str:
    """An address nobody else uses, so that ports may be what they are in a pod."""
    return f"127.{secrets.randbelow(250) + 1}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}"


def write_folder(folder: Path, authority: Authority, settings: Mapping[str, Any]) -> None:
    for name, content in authority.agent_files().items():
        (folder / name).write_bytes(content)
    config = {
        "session": SESSION,
        "namespace": "shop",
        "holder": f"ana@laptop/{SESSION}",
        "tunnel_port": TUNNEL,
        "health_port": HEALTH,
        "ports": [APP],
        "hold": 30.0,
        "grace": 30.0,
        "lost_after": 0.5,
        "silent_after": 1.5,
        "guard": False,
        "workload": "/apis/apps/v1/namespaces/shop/deployments/orders",
        "lease": "/apis/coordination.k8s.io/v1/namespaces/shop/leases/interceptor-deployment-orders",
        "owner": f"/apis/batch/v1/namespaces/shop/jobs/interceptor-{SESSION}",
        "pods": "/api/v1/namespaces/shop/pods?labelSelector=app%3Dorders",
        **settings,
    }
    (folder / "config.json").write_text(json.dumps(config))


@contextmanager
def running_agent(
    folder: Path,
    *,
    command: Sequence[str] = (sys.executable, "-m", "agent"),
    environ: Mapping[str, str] | None = None,
    authority: Authority | None = None,
    bind: str = "",
    **settings: Any,
) -> Iterator[Agent]:
    """Start, wait until it listens, and end it if the test has not."""
    authority = authority or Authority.create(SESSION)
    write_folder(folder, authority, settings)
    bind = bind or loopback()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(folder)],
            cwd=REPOSITORY,
            env={**(os.environ if environ is None else environ), "INTERCEPTOR_BIND": bind},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    agent = Agent(bind, folder, authority, process, log)
    try:
        _until_up(agent)
        yield agent
        if process.poll() is not None:
            agent.ended = process.returncode
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    assert "Traceback" not in agent.words, agent.words


def _until_up(agent: Agent) -> None:
    for _ in range(int(UP_WITHIN / 0.02)):
        if agent.process.poll() is not None:
            raise AssertionError(f"the agent ended: {agent.words}")
        try:
            with socket.create_connection((agent.bind, HEALTH), 1):
                return
        except ConnectionRefusedError:
            pass
        try:
            agent.process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"the agent does not listen: {agent.words}")


async def link_to(agent: Agent) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (agent.bind, TUNNEL))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def local_side(ports: Mapping[int, int], hold: float = 20.0) -> LocalSide:
    """Pod port to port on 127.0.0.1."""
    targets = {("TCP", pod): [(socket.AF_INET, ("127.0.0.1", port))] for pod, port in ports.items()}
    return LocalSide(AsyncioPoller(asyncio.get_running_loop()), targets, hold, lambda _port, _open: None)


@asynccontextmanager
async def tunnel_to(
    agent: Agent, local: LocalSide, *, arm: bool = True, authority: Authority | None = None
) -> AsyncIterator[Tunnel]:
    """A tunnel that has greeted; ends without goodbye, unless the test has said it."""
    tunnel = Tunnel(SESSION, local)
    context = (authority or agent.authority).client_context()
    layer = TlsLayer(context, server_side=False, server_hostname=SESSION)
    try:
        await tunnel.start(await link_to(agent), [layer])
        if arm:
            await tunnel.ask("arm")
        yield tunnel
    finally:
        tunnel.close(Reason.CANCELLED)
        await tunnel.closed()
