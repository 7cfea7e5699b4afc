"""A real folder as a volume: answered by the agent's threads, asked over socket pairs, mounted by FUSE in a namespace."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.files import _Service
from interceptor.sandbox.files.readahead import Budget
from interceptor.sandbox.files.remote import RemoteFiles
from interceptor.sandbox.files.server import FuseServer
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire.reasons import Reason

ROOT = Path(__file__).resolve().parents[3]
# Makes namespaces, mounts, hands the descriptor over, then runs a program of ours that sees the mount.
INSIDE = """
import os, socket, sys
sys.path.insert(0, {root!r})
from interceptor.sandbox import mounts
from interceptor.sandbox.kernel import system
from interceptor.sandbox.spec import Mount, MountKind
uid, gid = os.getuid(), os.getgid()
system.unshare(system.NEW_MOUNTS | system.NEW_USER)
for name, text in (("setgroups", "deny"), ("uid_map", f"{{uid}} {{uid}} 1"), ("gid_map", f"{{gid}} {{gid}} 1")):
    open(f"/proc/self/{{name}}", "w").write(text)
control = socket.socket(fileno=int(sys.argv[1]))
mount = Mount(MountKind.FUSE, sys.argv[2], "test", read_only=sys.argv[3] == "ro", folder=sys.argv[4] == "folder")
mounts.carry_out((), (mount,), lambda _, descriptor: socket.send_fds(control, [b"!"], [descriptor]))
os.chdir("/")
sys.argv[1:] = sys.argv[5:]
exec(compile(sys.stdin.read(), "probe", "exec"))
"""


class _Accepted:
    """What the tunnel would give: joins the client's half to an agent's service."""

    def __init__(self, volume: Volume, write: bool) -> None:
        self._volume, self._write = volume, write

    def attach(self, sock: socket.socket, early: bytes = b"") -> None:
        assert not early
        sock.setblocking(True)
        service = _Service(sock, [str(self._volume.folder)], write=self._write)
        self._volume.streams.append(sock)
        thread = threading.Thread(target=service.run, name="files")
        self._volume.threads.append(thread)
        thread.start()


class Volume:
    """One folder, or file, and the streams to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.streams: list[socket.socket] = []
        self.threads: list[threading.Thread] = []
        self.away = asyncio.Event()  # set while no agent is connected

    async def open(self, target: Mapping[str, Any]) -> _Accepted:
        if self.away.is_set():
            raise StreamRefused(Reason.GONE, "no agent is connected")
        return _Accepted(self, target["write"])

    def cut(self) -> None:
        """The tunnel is lost."""
        self.streams[-1].shutdown(socket.SHUT_RDWR)

    @asynccontextmanager
    async def remote(self, *, write: bool = False) -> AsyncIterator[RemoteFiles]:
        async with asyncio.TaskGroup() as group:
            remote = RemoteFiles(self.open, [str(self.folder)], write=write)
            serving = group.create_task(remote.serve(), name="remote")
            yield remote
            serving.cancel()

    async def probe(self, point: Path, program: str, *arguments: str, write: bool = False) -> Any:
        """Run a Python program that sees the volume at `point`; what it printed as JSON."""
        ours, theirs = socket.socketpair()
        kind = "folder" if self.folder.is_dir() else "file"
        async with self.remote(write=write) as remote:
            (root,) = await remote.roots()
            assert root.attributes is not None
            with ours, theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", INSIDE.format(root=str(ROOT)), str(theirs.fileno()), str(point),
                    "rw" if write else "ro", kind, *arguments, pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                theirs.close()
                _, (descriptor, *_), _, _ = await asyncio.to_thread(socket.recv_fds, ours, 1, 1)
            server = FuseServer(descriptor, remote, 0, root.attributes, Budget())
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.serve(), name="fuse")
                out, _ = await process.communicate(program.encode())
                assert process.returncode == 0
                serving.cancel()
        return json.loads(out)


@pytest.fixture
def fuse() -> None:
    """Skips where this machine has no FUSE for us."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse may not be opened")


@pytest.fixture
async def volume(tmp_path: Path) -> AsyncIterator[Volume]:
    folder = tmp_path / "volume"
    folder.mkdir()
    volume = Volume(folder)
    yield volume
    for thread in volume.threads:
        thread.join(5)
        assert not thread.is_alive()


def config_map(folder: Path, version: str, files: Mapping[str, str]) -> None:
    """Write files as the kubelet does: a folder of their own, then one symlink exchanged."""
    fresh = folder / f"..{version}"
    fresh.mkdir()
    for name, text in files.items():
        (fresh / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    old = os.readlink(folder / "..data") if (folder / "..data").is_symlink() else None
    beside = folder / "..data_tmp"
    beside.symlink_to(fresh.name)
    beside.replace(folder / "..data")
    if old:
        for file in (folder / old).iterdir():
            file.unlink()
        (folder / old).rmdir()
