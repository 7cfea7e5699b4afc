"""Copies are what the pod has, follow it, and are gone with who made them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from interceptor.sandbox.files import copies
from interceptor.sandbox.files.copies import Copies, TooLarge
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
