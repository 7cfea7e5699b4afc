"""One volume as a tree that nothing leads out of: `files` calls it on worker threads with paths relative to its root.

No symlink is followed here: each folder on the way is opened by its name alone (O_NOFOLLOW), so a link that points to
/etc/shadow or out by `..` is only ever told, and the machine that asked follows it in its own world. Errors are OSError.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from interceptor.wire.files import NOW, Attributes, Change, Statfs, Step

MOST_LINKS = 40  # as the kernel follows
_WAY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_OPENED = os.O_ACCMODE | os.O_APPEND | os.O_TRUNC | os.O_EXCL | os.O_SYNC | os.O_DSYNC


class Tree:
    """A volume, held by a descriptor of its root: a folder, or a single file (`subPath`)."""

    def __init__(self, path: str, *, write: bool) -> None:
        self._root = os.open(path, os.O_PATH | os.O_CLOEXEC)
        read_only = os.fstatvfs(self._root).f_flag & os.ST_RDONLY
        self.writable = write and not read_only

    def close(self) -> None:
        """Give the root back."""
        os.close(self._root)

    # --- reading -----------------------------------------------------------------------------------------------------

    def attributes(self, path: bytes) -> Attributes:
        """What lstat says."""
        if not path:
            return attributes_of(os.fstat(self._root))
        with self._parent(path) as (folder, name):
            return attributes_of(os.stat(name, dir_fd=folder, follow_symlinks=False))

    def walk(self, path: bytes) -> Iterator[Step]:
        """The place itself and, where it is a link that stays in this tree, each thing on the way to what it means."""
        links, silent = 0, path.count(b"/")  # the folders before the last name are known to who asks
        left, at = path.split(b"/"), b""
        while left:
            name = left.pop(0)
            here = at + b"/" + name if at else name
            one = self._step(here)
            if silent == 0 or one.errno:
                yield one
            silent = max(0, silent - 1)
            if one.errno:
                return
            if not one.target:
                at = here
                continue
            links += 1
            onward = _join(at, one.target, left)
            if onward is None or links > MOST_LINKS:
                return
            left, at = onward, b""

    def _step(self, path: bytes) -> Step:
        try:
            found = self.attributes(path)
            return Step(path, 0, found, self._target(path) if stat.S_ISLNK(found.mode) else b"")
        except OSError as error:
            return Step(path, error.errno or errno.EIO, None, b"")

    def _target(self, path: bytes) -> bytes:
        with self._parent(path) as (folder, name):
            return os.fsencode(os.readlink(name, dir_fd=folder))

    def open(self, path: bytes, flags: int) -> int:
        """A descriptor of a regular file."""
        flags &= _OPENED
        if flags & (os.O_ACCMODE | os.O_TRUNC):
            self._may_write()
        how = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        if not path:  # the root is a file: only its own descriptor is sure to be it
            descriptor = os.open(f"/proc/self/fd/{self._root}", how & ~os.O_NOFOLLOW)
        else:
            with self._parent(path) as (folder, name):
                descriptor = os.open(name, how, dir_fd=folder)
        return _regular(descriptor)

    def entries(self, path: bytes) -> Iterator[Step]:
        """What is in a folder, with attributes; a name that is gone again is left out."""
        descriptor = self._folder(path)
        try:
            with os.scandir(descriptor) as found:
                for entry in found:
                    try:
                        seen = os.stat(entry.name, dir_fd=descriptor, follow_symlinks=False)
                        link = stat.S_ISLNK(seen.st_mode)
                        target = os.fsencode(os.readlink(entry.name, dir_fd=descriptor)) if link else b""
                    except FileNotFoundError:
                        continue
                    yield Step(os.fsencode(entry.name), 0, attributes_of(seen), target)
        finally:
            os.close(descriptor)

    def statfs(self) -> Statfs:
        """The numbers of the file system under the root."""
        seen = os.fstatvfs(self._root)
        return Statfs(
            seen.f_blocks, seen.f_bfree, seen.f_bavail, seen.f_files, seen.f_ffree, seen.f_frsize, seen.f_namemax
        )

    # --- writing -----------------------------------------------------------------------------------------------------

    def create(self, path: bytes, flags: int, mode: int) -> int:
        """Make a regular file, or open the one that is there unless O_EXCL."""
        self._may_write()
        how = (flags & _OPENED) | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._parent(path) as (folder, name):
            descriptor = os.open(name, how, mode & 0o7777, dir_fd=folder)
        return _regular(descriptor)

    def change(self, path: bytes, change: Change) -> None:
        """Set mode, size or times. Where the kernel has no call that does it to a link itself, a link is refused."""
        self._may_write()
        if change.size is not None:
            descriptor = self.open(path, os.O_WRONLY)
            try:
                os.ftruncate(descriptor, change.size)
            finally:
                os.close(descriptor)
        if change.mode is not None or change.atime is not None or change.mtime is not None:
            with self._place(path) as place:
                if change.mode is not None:
                    os.chmod(place, change.mode & 0o7777)
                if change.atime is not None or change.mtime is not None:
                    seen = os.stat(place)
                    os.utime(place, ns=(_time(change.atime, seen.st_atime_ns), _time(change.mtime, seen.st_mtime_ns)))

    def mkdir(self, path: bytes, mode: int) -> None:
        """Make a folder."""
        self._may_write()
        with self._parent(path) as (folder, name):
            os.mkdir(name, mode & 0o7777, dir_fd=folder)

    def symlink(self, path: bytes, target: bytes) -> None:
        """Make a link."""
        self._may_write()
        with self._parent(path) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def link(self, path: bytes, existing: bytes) -> None:
        """Give a file a second name."""
        self._may_write()
        with self._parent(path) as (folder, name), self._parent(existing) as (other, old):
            os.link(old, name, src_dir_fd=other, dst_dir_fd=folder, follow_symlinks=False)

    def rename(self, path: bytes, to: bytes) -> None:
        """Rename, in place of what is there."""
        self._may_write()
        with self._parent(path) as (folder, name), self._parent(to) as (other, new):
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=other)

    def unlink(self, path: bytes) -> None:
        """Remove a name that is no folder."""
        self._may_write()
        with self._parent(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def rmdir(self, path: bytes) -> None:
        """Remove an empty folder."""
        self._may_write()
        with self._parent(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    # --- the way -----------------------------------------------------------------------------------------------------

    def _may_write(self) -> None:
        if not self.writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    @contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """A descriptor of the folder in which the last name of a path is, and that name."""
        *folders, name = path.split(b"/")
        if any(part in (b"", b".", b"..") or b"\0" in part for part in (*folders, name)):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        at = self._root
        try:
            for part in folders:
                below = os.open(part, _WAY | os.O_DIRECTORY, dir_fd=at)
                if at != self._root:
                    os.close(at)
                at = below
            yield at, name
        finally:
            if at != self._root:
                os.close(at)

    def _folder(self, path: bytes) -> int:
        how = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        if not path:
            return os.open(f"/proc/self/fd/{self._root}", how)
        with self._parent(path) as (folder, name):
            return os.open(name, how | os.O_NOFOLLOW, dir_fd=folder)

    @contextmanager
    def _place(self, path: bytes) -> Iterator[str]:
        """A name under /proc that means this very file, whatever is renamed meanwhile; not for links."""
        if not path:
            yield f"/proc/self/fd/{self._root}"
            return
        with self._parent(path) as (folder, name):
            descriptor = os.open(name, _WAY, dir_fd=folder)
        try:
            if stat.S_ISLNK(os.fstat(descriptor).st_mode):
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)


def attributes_of(seen: os.stat_result) -> Attributes:
    """As the wire has them."""
    return Attributes(
        seen.st_ino, seen.st_dev, seen.st_mode, seen.st_nlink, seen.st_uid, seen.st_gid, seen.st_size, seen.st_rdev,
        seen.st_atime_ns, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_blocks, seen.st_blksize,
    )  # fmt: skip


def _regular(descriptor: int) -> int:
    """Let nothing else through: a pipe of the pod would keep a thread waiting, a device is nobody's business."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def _time(wanted: int | None, present: int) -> int:
    if wanted is None:
        return present
    return time.time_ns() if wanted == NOW else wanted


def _join(at: bytes, target: bytes, rest: list[bytes]) -> list[bytes] | None:
    """The names on the way from the root to what a link in folder `at` means; None where it leaves the tree."""
    if target.startswith(b"/"):
        return None
    names = at.split(b"/") if at else []
    for part in target.split(b"/"):
        if part == b"..":
            if not names:
                return None
            names.pop()
        elif part not in (b"", b"."):
            names.append(part)
    return [*names, *rest]
