"""Copies are what the pod has, follow it, and are gone with who made them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interceptor.sandbox.files import copies
from interceptor.sandbox.files.copies import Copies, TooLarge
from interceptor.sandbox.files.remote import RemoteFiles
from interceptor.wire import files as wire
from interceptor.wire.files import Ask, Attributes, Step
from tests.sandbox.files.conftest import ROOT, Volume, config_map


async def test_copies_are_equal(volume: Volume) -> None:
    config_map(volume.folder, "2024", {"key": "value"})
    (volume.folder / "deep").mkdir()
    (volume.folder / "deep" / "script").write_text("#!/bin/sh\n")
    (volume.folder / "deep" / "script").chmod(0o750)
    os.mkfifo(volume.folder / "pipe")
    async with Copies() as made, volume.remote() as remote:
        (root,) = await remote.roots()
        assert root.attributes is not None
        await made.copy(remote, 0, "/etc/app", root.attributes, whole=False)
        place = made.place("/etc/app")
        assert (place / "key").read_text() == "value"
        assert (place / "key").readlink() == Path("..data/key")
        assert (place / "deep" / "script").stat().st_mode == (volume.folder / "deep" / "script").stat().st_mode
        assert made.folder.stat().st_mode & 0o777 == 0o700
        assert not (place / "pipe").exists()
    assert not made.folder.exists()


async def test_large_ones_are_asked_for(volume: Volume) -> None:
    with (volume.folder / "big").open("wb") as file:
        file.truncate(copies.SMALL + 1)
    async with Copies() as made, volume.remote() as remote:
        (root,) = await remote.roots()
        assert root.attributes is not None
        with pytest.raises(TooLarge):
            await made.copy(remote, 0, "/data", root.attributes, whole=False)
        await made.copy(remote, 0, "/data", root.attributes, whole=True)
        assert (made.place("/data") / "big").stat().st_size == copies.SMALL + 1


async def test_updates_are_followed(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "LOOK_EVERY", 0.05)
    config_map(volume.folder, "one", {"key": "old", "going": "x"})
    async with Copies() as made, volume.remote() as remote, asyncio.TaskGroup() as group:
        (root,) = await remote.roots()
        assert root.attributes is not None
        await made.copy(remote, 0, "/etc/app", root.attributes, whole=False)
        following = group.create_task(made.follow(remote, 0, "/etc/app"), name="follow")
        (volume.folder / "going").unlink()
        config_map(volume.folder, "two", {"key": "new", "coming": "y"})
        place = made.place("/etc/app")
        async with asyncio.timeout(30):
            while (place / "going").is_symlink() or (place / "..one").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        following.cancel()
        assert (place / "key").read_text() == "new"
        assert (place / "coming").read_text() == "y"


async def test_inner_volumes_are_copied(volume: Volume) -> None:
    """A volume mounted in another: the outer one's copy has it already."""
    config_map(volume.folder, "one", {"key": "value"})
    async with Copies() as made, volume.remote() as remote:
        (root,) = await remote.roots()
        assert root.attributes is not None
        (made.place("/data") / "conf").mkdir(parents=True)
        (made.place("/data") / "conf" / "key").write_text("the outer one's copy")
        await made.copy(remote, 0, "/data/conf", root.attributes, whole=False)
        assert (made.place("/data") / "conf" / "key").read_text() == "value"


async def test_broken_updates_are_begun_anew(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that can't be had now is not missing for ever."""
    monkeypatch.setattr(copies, "LOOK_EVERY", 0.05)
    config_map(volume.folder, "one", {"key": "old"})
    async with Copies() as made, volume.remote() as remote, asyncio.TaskGroup() as group:
        (root,) = await remote.roots()
        assert root.attributes is not None
        await made.copy(remote, 0, "/etc/app", root.attributes, whole=False)
        place = made.place("/etc/app")
        blocked = place / "..two.new"
        blocked.mkdir()  # as if that were in the way: the first looks fail
        config_map(volume.folder, "two", {"key": "new"})
        following = group.create_task(made.follow(remote, 0, "/etc/app"), name="follow")
        await asyncio.sleep(0.2)
        assert (place / "key").read_text() == "old"
        blocked.rmdir()
        async with asyncio.timeout(30):
            while (place / "key").read_text() != "new":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        following.cancel()


class Liar:
    """A pod that says whatever leads out of a copy."""

    def __init__(self, *told: Step) -> None:
        self._told = told
        self.threads: list[threading.Thread] = []

    async def open(self, _: Mapping[str, Any]) -> Liar:
        return self

    def attach(self, sock: socket.socket, early: bytes = b"") -> None:
        assert not early
        sock.setblocking(True)
        thread = threading.Thread(target=self._answer, args=(sock,), name="liar")
        self.threads.append(thread)
        thread.start()

    def _answer(self, sock: socket.socket) -> None:
        handle, told = wire.HANDLE.pack(1), list(self._told)
        with sock, sock.makefile("rb") as asked:
            while head := asked.read(wire.HEADER.size):
                size, number, ask = wire.HEADER.unpack(head)
                asked.read(size)
                said = b""
                if ask in (Ask.FOLDER, Ask.OPEN):
                    said = handle + (SEEN.pack() + b"evil" if ask == Ask.OPEN else b"")
                elif ask == Ask.LIST and told:
                    said = wire.step(told.pop(0))
                sock.sendall(wire.message(number, 0, said))


SEEN = Attributes(1, 1, stat.S_IFREG | 0o644, 1, 0, 0, 4, 0, 0, 0, 0, 1, 4096)
FOLDER = SEEN._replace(mode=stat.S_IFDIR | 0o755)
LINK = SEEN._replace(mode=stat.S_IFLNK | 0o777)


@pytest.mark.parametrize("way", ["up", "absolute", "link"])
async def test_pods_lead_nowhere_else(way: str, tmp_path: Path) -> None:
    """A pod is somebody else's program: nothing that it says makes a file outside the copy."""
    home = tmp_path / "home"
    home.mkdir()
    outside = str(home).encode()
    told = {
        "up": [Step(b"../evil", 0, SEEN, b"")],
        "absolute": [Step(outside + b"/evil", 0, SEEN, b"")],
        "link": [Step(b"a", 0, LINK, outside), Step(b"a", 0, FOLDER, b""), Step(b"evil", 0, SEEN, b"")],
    }[way]
    liar = Liar(*told)
    async with Copies() as made, asyncio.TaskGroup() as group:
        remote = RemoteFiles(liar.open, ["/data"])
        serving = group.create_task(remote.serve(), name="remote")
        made.place("/data").mkdir()
        with pytest.raises(OSError, match=r"a name that no file has|File exists"):
            await copies._copy_folder(remote, 0, b"", made.place("/data"))
        assert not list(home.iterdir())
        assert [path.name for path in made.folder.iterdir()] == ["data"]
        serving.cancel()
    for thread in liar.threads:
        thread.join(5)


@pytest.mark.slow
def test_killed_program_leaves_nothing() -> None:
    program = (
        f"import asyncio, sys; sys.path.insert(0, {str(ROOT)!r}); from interceptor.sandbox.files.copies import Copies\n"
        "async def main():\n"
        "    async with Copies() as made:\n"
        "        (made.folder / 'secret').write_text('x'); print(made.folder, flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert (folder / "secret").exists()
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        deadline = time.monotonic() + 30
        while folder.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
