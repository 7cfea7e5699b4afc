"""Copies of volumes in a private folder, for machines where FUSE or namespaces are not to be had; `session.volumes` asks.

The folder lies in memory where the machine offers that, readable by its owner alone, and a shell waits to remove it when this
program is killed. Secrets, ConfigMaps and tokens are followed the kubelet's way: new files in a folder of their own, then
one symlink is exchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import stat
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from pathlib import Path

from interceptor.sandbox.files.remote import RemoteFiles
from interceptor.wire.files import MOST_READ, Attributes, Step, is_name

SMALL = 8 * 1024 * 1024  # bytes that are copied without being asked for
MOST_FILES = 2000
LOOK_EVERY = 5.0
_PREFIX = "interceptor-files-"
_CURRENT = b"..data"  # the kubelet's symlink
# Its input ends when we do, however that happens. Not a process of our group: Ctrl-C is not for it.
_REMOVER = ("/bin/sh", "-c", 'cat; rm -rf -- "$0"')


class TooLarge(Exception):
    """More than is copied by itself."""


class Copies:
    """One session's folder. Use as `async with`."""

    def __init__(self) -> None:
        self.folder = Path()
        self._remover: Process | None = None

    async def __aenter__(self) -> Copies:
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_parent()))
        try:
            self._remover = await asyncio.create_subprocess_exec(
                *_REMOVER,
                str(self.folder),
                stdin=PIPE,
                stdout=DEVNULL,
                env={"PATH": os.defpath},
                start_new_session=True,
            )
        except BaseException:
            self.folder.rmdir()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._remover is not None
        await self._remover.communicate(b"")

    def place(self, path: str) -> Path:
        """Where a volume's copy is."""
        return self.folder / path.lstrip("/")

    async def copy(self, remote: RemoteFiles, root: int, path: str, attributes: Attributes, *, whole: bool) -> None:
        """Copy a volume. Raises TooLarge unless the `whole` is wanted, OSError when it can't be read."""
        place = self.place(path)
        self._clear(place)
        if not stat.S_ISDIR(attributes.mode):
            if attributes.size > SMALL and not whole:
                raise TooLarge
            await _copy_file(remote, root, Step(b"", 0, attributes, b""), place)
            return
        if not whole:
            await _measure(remote, root)
        place.mkdir()
        await _copy_folder(remote, root, b"", place)

    def _clear(self, place: Path) -> None:
        """Make room: a volume that this one is mounted in was copied with what is here in the pod."""
        folder = self.folder
        for name in place.parent.relative_to(folder).parts:
            folder /= name
            if folder.is_symlink():  # out of the copy, to this machine's own
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            folder.mkdir(exist_ok=True)
        if place.is_symlink() or place.is_file():
            place.unlink()
        elif place.exists():
            _remove(place)

    async def follow(self, remote: RemoteFiles, root: int, path: str) -> None:
        """Bring what the kubelet changes, until cancelled; for volumes it doesn't write, return at once."""
        place = self.place(path)
        if not (place / os.fsdecode(_CURRENT)).is_symlink():
            return
        while True:
            await asyncio.sleep(LOOK_EVERY)
            with contextlib.suppress(OSError):  # out of reach, or swapped once more while we looked: the next look
                await _renew(remote, root, place)


async def _renew(remote: RemoteFiles, root: int, place: Path) -> None:
    current = place / os.fsdecode(_CURRENT)
    there = (await remote.walk(root, _CURRENT))[0]
    before = os.fsencode(os.readlink(current))
    if there.errno or before == there.target or not (is_name(there.target) and is_name(before)):
        return
    fresh, old = place / os.fsdecode(there.target), place / os.fsdecode(before)
    if not fresh.exists():
        await _copy_anew(remote, root, there.target, fresh)
    _link(there.target, current)
    names = {_CURRENT, there.target}
    async for step in _list(remote, root, b""):
        names.add(step.path)
        if step.target and step.path != _CURRENT:
            _link(step.target, place / os.fsdecode(step.path))
    _unlink_others(place, names)
    if old != fresh:
        _remove(old)


async def _copy_anew(remote: RemoteFiles, root: int, path: bytes, place: Path) -> None:
    """Whole or not at all: what is there counts as copied."""
    coming = place.with_name(f"{place.name}.new")
    coming.mkdir(mode=0o700)
    try:
        await _copy_folder(remote, root, path, coming)
        coming.rename(place)
    except BaseException:
        _remove(coming)
        raise


def _unlink_others(place: Path, names: set[bytes]) -> None:
    for entry in list(place.iterdir()):
        if entry.is_symlink() and os.fsencode(entry.name) not in names:
            entry.unlink()


def _link(target: bytes, path: Path) -> None:
    """Make or exchange a symlink in one step."""
    if path.is_symlink() and os.fsencode(os.readlink(path)) == target:
        return
    beside = path.with_name(f"{path.name}.new")
    os.symlink(os.fsdecode(target), beside)
    beside.replace(path)


async def _list(remote: RemoteFiles, root: int, path: bytes) -> AsyncGenerator[Step, None]:
    folder = await remote.folder(root, path)
    try:
        while page := await folder.page():
            for step in page:
                yield step
    finally:
        await folder.close()


async def _measure(remote: RemoteFiles, root: int) -> None:
    """Raise TooLarge as soon as that is known."""
    size = files = 0
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        async with contextlib.aclosing(_list(remote, root, path)) as entries:
            async for step in entries:
                assert step.attributes is not None
                files += 1
                if stat.S_ISDIR(step.attributes.mode):
                    waiting.append(_below(path, step.path))
                elif stat.S_ISREG(step.attributes.mode):
                    size += step.attributes.size
                if size > SMALL or files > MOST_FILES:
                    raise TooLarge


async def _copy_folder(remote: RemoteFiles, root: int, path: bytes, place: Path) -> None:
    """Copy what is in a folder; what is neither file, folder nor link (a socket, a pipe) works in the pod only."""
    async with contextlib.aclosing(_list(remote, root, path)) as entries:
        async for step in entries:
            assert step.attributes is not None
            mode, there, target = step.attributes.mode, _below(path, step.path), place / os.fsdecode(step.path)
            if stat.S_ISLNK(mode):
                os.symlink(os.fsdecode(step.target), target)
            elif stat.S_ISDIR(mode):
                target.mkdir()
                await _copy_folder(remote, root, there, target)
                target.chmod(stat.S_IMODE(mode) | 0o700)  # ours to change later
            elif stat.S_ISREG(mode):
                await _copy_file(remote, root, step._replace(path=there), target)


async def _copy_file(remote: RemoteFiles, root: int, step: Step, place: Path) -> None:
    assert step.attributes is not None
    try:
        file = await remote.open(root, step.path, os.O_RDONLY)
    except PermissionError:
        return  # as in the pod: it is there, and may not be read
    try:
        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:  # noqa: ASYNC230  memory
            data = file.first
            while data:
                copy.write(data)
                data = await file.read(copy.tell(), MOST_READ)
    finally:
        await file.close()
    os.chmod(place, stat.S_IMODE(step.attributes.mode))
    os.utime(place, ns=(step.attributes.atime, step.attributes.mtime))


def _below(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name


def _parent() -> Path:
    """A place in memory, where there is one for us."""
    for folder in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108  a fresh folder of ours in it
        if folder and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    return Path(tempfile.gettempdir())


def _remove(folder: Path) -> None:
    """Remove a tree of ours, folders that may not be written included."""
    for path, names, _ in os.walk(folder):
        for name in names:
            inside = Path(path, name)
            if not inside.is_symlink():
                inside.chmod(0o700)
    shutil.rmtree(folder)
