"""What a program sees of a mounted volume is what is in the folder, its changes included."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.sandbox.files.conftest import ROOT, Volume, config_map

pytestmark = [pytest.mark.usefixtures("fuse"), pytest.mark.slow]  # a child with namespaces each

REPORT = """
import hashlib, json, os, stat, sys
found = {}
for path, folders, files in os.walk(sys.argv[1]):
    for name in sorted(folders + files):
        whole = os.path.join(path, name)
        seen = os.lstat(whole)
        about = [oct(seen.st_mode), seen.st_mtime_ns if not stat.S_ISDIR(seen.st_mode) else 0, seen.st_nlink]
        if stat.S_ISLNK(seen.st_mode):
            about.append(os.readlink(whole))
        elif stat.S_ISREG(seen.st_mode):
            about += [seen.st_size, hashlib.sha256(open(whole, "rb").read()).hexdigest()]
        found[os.path.relpath(whole, sys.argv[1])] = about
print(json.dumps(found, sort_keys=True))
"""


@pytest.fixture
def point(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


async def test_everything_is_equal(volume: Volume, point: Path) -> None:
    config_map(volume.folder, "2024", {"key": "value", "empty": ""})
    (volume.folder / "deep" / "er").mkdir(parents=True)
    (volume.folder / "deep" / "er" / "file").write_bytes(os.urandom(3_000_000))
    (volume.folder / "deep" / "script").write_text("#!/bin/sh\n")
    (volume.folder / "deep" / "script").chmod(0o750)
    (volume.folder / "loop").symlink_to("loop")
    (volume.folder / "away").symlink_to("/etc/hostname")
    os.link(volume.folder / "deep" / "script", volume.folder / "twin")
    (volume.folder / os.fsdecode(b"\xff\xfe")).write_text("no text")
    seen = await volume.probe(point, REPORT, str(point))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", REPORT, volume.folder, stdout=PIPE)
    wanted, _ = await process.communicate()
    assert seen == json.loads(wanted)


async def test_large_folders_are_listed(volume: Volume, point: Path) -> None:
    for number in range(1200):
        (volume.folder / f"{number:04}-{'x' * 60}").touch()
    program = "import json, os, sys; print(json.dumps(len(set(os.listdir(sys.argv[1])))))"
    assert await volume.probe(point, program, str(point)) == 1200


async def test_missing_names_say_so(volume: Volume, point: Path) -> None:
    program = """
import json, os, sys
def code(do, *words):
    try:
        do(*words)
    except OSError as error:
        return error.errno
p = sys.argv[1]
print(json.dumps([code(os.stat, p + "/none"), code(os.stat, p + "/file/below"), code(open, p + "/new", "w"),
                  code(os.mkdir, p + "/new"), code(os.getxattr, p + "/file", "user.x")]))
"""
    (volume.folder / "file").write_text("x")
    assert await volume.probe(point, program, str(point)) == [2, 20, 30, 30, 95]


async def test_updates_are_seen(volume: Volume, point: Path) -> None:
    """A swapped symlink is followed without an error between, though the old files are gone; who has one open keeps it."""
    config_map(volume.folder, "one", {"key": "old"})
    program = """
import json, subprocess, sys, time
path = sys.argv[1] + "/key"
before = open(path)
first = before.read()
swap = subprocess.Popen([sys.executable, "-c", sys.argv[2]])
seen = [first]
deadline = time.monotonic() + 20
while seen[-1] != "new" and time.monotonic() < deadline:
    with open(path) as file:
        now = file.read()
    if now != seen[-1]:
        seen.append(now)
before.seek(0)
print(json.dumps([swap.wait(), seen, before.read()]))
"""
    swap = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; "
        "from tests.sandbox.files.conftest import config_map; "
        f"config_map(Path({str(volume.folder)!r}), 'two', {{'key': 'new'}})"
    )
    assert await volume.probe(point, program, str(point), swap) == [0, ["old", "new"], "old"]


async def test_replaced_files_are_new(volume: Volume, point: Path) -> None:
    """A file exchanged by rename, of the same size and time, is not read from the old one's cache."""
    (volume.folder / "file").write_text("old")
    os.utime(volume.folder / "file", ns=(1, 1))
    program = """
import json, os, sys, time
path, real = sys.argv[1] + "/file", sys.argv[2] + "/file"
first = open(path).read()
open(real + ".new", "w").write("new")
os.utime(real + ".new", ns=(1, 1))
os.replace(real + ".new", real)
deadline = time.monotonic() + 20
while open(path).read() == first and time.monotonic() < deadline:
    time.sleep(0.02)
print(json.dumps([first, open(path).read()]))
"""
    assert await volume.probe(point, program, str(point), str(volume.folder)) == ["old", "new"]


async def test_single_files_are_mounted(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("alone")
    (tmp_path / "there").touch()
    volume = Volume(tmp_path / "one")
    program = "import json, sys; print(json.dumps(open(sys.argv[1]).read()))"
    assert await volume.probe(tmp_path / "there", program, str(tmp_path / "there")) == "alone"


async def test_writes_arrive(volume: Volume, point: Path) -> None:
    program = """
import json, os, shutil, sys
p = sys.argv[1]
os.makedirs(p + "/a/b")
with open(p + "/a/b/big", "wb") as file:
    for number in range(300):
        file.write(bytes([number % 256]) * 10_000)
with open(p + "/a/b/big", "r+b") as file:
    file.seek(5)
    file.write(b"hello")
    file.flush()
    os.fsync(file.fileno())
    size = os.fstat(file.fileno()).st_size
os.truncate(p + "/a/b/big", 1_000_000)
os.chmod(p + "/a/b/big", 0o640)
os.utime(p + "/a/b/big", ns=(5_000_000_001, 6_000_000_002))
with open(p + "/log", "a") as file:
    file.write("one\\n")
with open(p + "/log", "a") as file:
    file.write("two\\n")
open(p + "/made", "x").close()
os.rename(p + "/made", p + "/renamed")
os.symlink("renamed", p + "/link")
os.link(p + "/renamed", p + "/twin")
open(p + "/gone", "w").close()
os.unlink(p + "/gone")
os.mkdir(p + "/folder")
os.rmdir(p + "/folder")
shutil.copytree(p + "/a", p + "/copy")
print(json.dumps([size, open(p + "/log").read(), sorted(os.listdir(p)), open(p + "/a/b/big", "rb").read(10).hex()]))
"""
    size, log, names, head = await volume.probe(point, program, str(point), write=True)
    assert (size, log) == (3_000_000, "one\ntwo\n")
    assert names == ["a", "copy", "link", "log", "renamed", "twin"]
    assert head == (bytes(5) + b"hello").hex()
    big = volume.folder / "a" / "b" / "big"
    assert big.read_bytes() == (volume.folder / "copy" / "b" / "big").read_bytes()
    assert (big.stat().st_size, big.stat().st_mode & 0o777, big.stat().st_mtime_ns) == (1_000_000, 0o640, 6_000_000_002)
    assert big.read_bytes()[5:12] == b"hello" + bytes(2)
    assert (volume.folder / "link").readlink() == Path("renamed")


async def test_lost_tunnels_are_waited_for(volume: Volume, point: Path) -> None:
    (volume.folder / "big").write_bytes(bytes(range(256)) * 16384)

    program = """
import hashlib, json, sys
file = open(sys.argv[1] + "/big", "rb", buffering=0)
whole = hashlib.sha256()
read = 0
while part := file.read(65536):
    whole.update(part)
    read += len(part)
    if read == 1_048_576:
        open(sys.argv[2], "w").close()
print(json.dumps([read, whole.hexdigest()]))
"""
    signal = point.parent / "halfway"

    async def cut() -> None:
        while not signal.exists():  # noqa: ASYNC110  another program's sign
            await asyncio.sleep(0.005)
        volume.cut()

    async with asyncio.TaskGroup() as group:
        cutting = group.create_task(cut(), name="cut")
        read, digest = await volume.probe(point, program, str(point), str(signal))
        await cutting
    assert len(volume.streams) == 2
    assert (read, digest) == (4_194_304, hashlib.sha256((volume.folder / "big").read_bytes()).hexdigest())


async def test_jumping_readers_cost_little(volume: Volume, point: Path) -> None:
    """Of a large file, what is read of it comes, and not much more."""
    with (volume.folder / "huge").open("wb") as file:
        file.truncate(1 << 33)
        file.seek(1 << 32)
        file.write(b"here")
    program = """
import json, os, sys
file = os.open(sys.argv[1] + "/huge", os.O_RDONLY)
print(json.dumps([os.pread(file, 4, 1 << 32).decode(), os.pread(file, 4, 100).hex(), os.fstat(file).st_size]))
"""
    assert await volume.probe(point, program, str(point)) == ["here", "00000000", 1 << 33]
