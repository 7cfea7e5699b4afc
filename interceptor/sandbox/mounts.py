"""Carries out a sandbox's files and mounts, in its own mount namespace: `child` calls it before COMMAND starts.

A path that this machine lacks is made without touching the machine: the nearest folder that exists is replaced, in the
sandbox only, by one in memory that holds everything the old one did (each entry bound to itself) and can take more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from interceptor.sandbox.kernel import system
from interceptor.sandbox.kernel.system import MS_BIND, MS_NODEV, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT, MS_SLAVE
from interceptor.sandbox.spec import File, Mount, MountKind

HandOver = Callable[[str, int], None]
"""Target of a FUSE mount, and the descriptor by which it is served."""

_STAGE = "/tmp"  # noqa: S108  covered in our own mount namespace for a moment: every machine has it
_KEPT_FLAGS = {
    2: 2,
    4: 4,
    8: 8,
    1024: 1024,
    2048: 2048,
    4096: 1 << 21,
}  # statvfs to mount(2): a user namespace may not drop them


def carry_out(files: Sequence[File], mounts: Sequence[Mount], hand_over: HandOver) -> None:
    """Mount everything. Raises OSError with the path that failed."""
    system.mount("none", "/", flags=MS_REC | MS_SLAVE)  # what is mounted on the machine later still appears here
    places = _Places()
    _place_files(files, places)
    for mount in mounts:
        is_folder = mount.folder if mount.kind is not MountKind.BIND else os.path.isdir(mount.source)
        _mount(mount, places.at(mount.target, folder=is_folder), hand_over)


def _mount(mount: Mount, target: str, hand_over: HandOver) -> None:
    read_only = MS_RDONLY if mount.read_only else 0
    if mount.kind is MountKind.TMPFS:
        system.mount(mount.source or "tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV | read_only, mount.options)
    elif mount.kind is MountKind.FUSE:
        # The kernel wants the device opened in the user namespace that mounts, hence here and not by who serves it.
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        try:
            mode = stat.S_IFDIR if mount.folder else stat.S_IFREG
            options = f"fd={device},rootmode={mode:o},user_id={os.getuid()},group_id={os.getgid()}"
            options += f",{mount.options}" if mount.options else ""
            system.mount(mount.source or "interceptor", target, "fuse", MS_NOSUID | MS_NODEV | read_only, options)
            hand_over(mount.target, device)
        finally:
            os.close(device)
    else:
        _bind(mount.source, target)
        if mount.read_only:
            _make_read_only(target)


def _bind(source: str, target: str) -> None:
    system.mount(source, target, flags=MS_BIND | MS_REC)


def _make_read_only(target: str) -> None:
    has = os.statvfs(target).f_flag
    kept = sum(flag for bit, flag in _KEPT_FLAGS.items() if has & bit)
    system.mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def _place_files(files: Sequence[File], places: _Places) -> None:
    """Write each to memory and bind it over its target."""
    if not files:
        return
    targets = [os.open(places.at(file.target, folder=False), os.O_PATH) for file in files]  # one may lie in the stage
    system.mount("tmpfs", _STAGE, "tmpfs", MS_NOSUID | MS_NODEV)
    for number, (file, target) in enumerate(zip(files, targets, strict=True)):
        with os.fdopen(os.open(f"{_STAGE}/{number}", os.O_WRONLY | os.O_CREAT, file.mode), "wb") as out:
            out.write(file.text.encode(errors="surrogateescape"))
        _bind(f"{_STAGE}/{number}", f"/proc/self/fd/{target}")
        os.close(target)
    system.unmount(_STAGE)


class _Places:
    """Where things can be mounted: what exists, and what is made."""

    def __init__(self) -> None:
        self._ours: list[str] = []  # folders in memory, in which anything may be made

    def at(self, target: str, *, folder: bool) -> str:
        """Return the real path of `target`, made if it is missing."""
        real = os.path.realpath(target)
        if os.path.lexists(real):
            return real
        above = os.path.dirname(real)
        while not os.path.isdir(above):
            above = os.path.dirname(above)
        if not any(_is_in_memory(above, ours) for ours in self._ours):
            _replace_root() if above == "/" else _replace(above)
            self._ours.append(above)
        os.makedirs(real if folder else os.path.dirname(real), exist_ok=True)
        if not folder:
            os.close(os.open(real, os.O_WRONLY | os.O_CREAT, 0o644))
        return real


def _is_in_memory(folder: str, ours: str) -> bool:
    """Whether a folder is one of ours or was made in one: not what is mounted in it."""
    return os.stat(folder).st_dev == os.stat(ours).st_dev


def _replace(folder: str) -> None:
    entries = _entries(folder)
    mode = stat.S_IMODE(os.stat(folder).st_mode)
    system.mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode:o}")
    _fill(folder, entries)


def _replace_root() -> None:
    """Move into a root in memory; the old one is let go, its entries are bound in the new one."""
    entries = sorted(_entries("/"), key=lambda entry: f"/{entry[0]}" != _STAGE)
    system.mount("tmpfs", _STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    _fill(_STAGE, entries[:1])
    system.unmount(_STAGE + _STAGE)  # the copy of the new root, which came along with what it covers
    _fill(_STAGE, entries[1:])
    os.chdir(_STAGE)
    system.pivot_root(".", ".")  # puts the old root on top of the new one, from where it is taken away
    system.unmount(".")
    os.chdir("/")


def _entries(folder: str) -> list[tuple[str, int, str | None]]:
    """Name, descriptor and, for a symlink, what it points to: taken before the folder is covered."""
    found: list[tuple[str, int, str | None]] = []
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.islink(path):
            found.append((name, -1, os.readlink(path)))
        else:
            found.append((name, os.open(path, os.O_PATH | os.O_NOFOLLOW), None))
    return found


def _fill(folder: str, entries: list[tuple[str, int, str | None]]) -> None:
    for name, descriptor, link in entries:
        path = os.path.join(folder, name)
        if link is not None:
            os.symlink(link, path)
            continue
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
        _bind(f"/proc/self/fd/{descriptor}", path)
        os.close(descriptor)
