"""The kernel's side of FUSE as values: requests taken apart, answers packed; `server` speaks it over /dev/fuse. Pure.

Numbers and structures are those of Linux's include/uapi/linux/fuse.h, version 7.31 (Linux 5.4): newer kernels speak it
too. Spoken directly because the libraries for it (libfuse and what wraps it) would have to be installed on the machine.
"""

from __future__ import annotations

import os
import stat
import struct
from enum import IntEnum, IntFlag

from interceptor.wire.files import NOW, Attributes, Change, Statfs

MAJOR, MINOR = 7, 31
IN = struct.Struct("=IIQQIIII")  # length, operation, unique, node, uid, gid, pid, padding
OUT = struct.Struct("=IiQ")  # length, -errno, unique
INIT_IN = struct.Struct("=IIII")
_INIT_OUT = struct.Struct("=IIIIHHIIHH32x")
_ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("=QQQQII")
_VALID = struct.Struct("=QII")
_OPENED = struct.Struct("=QII")
_DIRENT = struct.Struct("=QQII")
_STATFS = struct.Struct("=QQQQQIIII24x")
_INVALIDATE = struct.Struct("=Qqq")
SETATTR = struct.Struct("=IIQQQQQQIIIIIIII")
READ = struct.Struct("=QQI")  # handle, offset, size; more follows
WRITE = struct.Struct("=QQIIQII")
HANDLE = struct.Struct("=Q")
NODE = struct.Struct("=Q")
NUMBER = struct.Struct("=Q")
FLAGS = struct.Struct("=II")  # flags or mode, and something
CREATE = struct.Struct("=IIII")
MKNOD = struct.Struct("=IIII")
RENAME2 = struct.Struct("=QII")
BATCH = struct.Struct("=II")
FORGET = struct.Struct("=QQ")
GETATTR = struct.Struct("=IIQ")
WRITTEN = struct.Struct("=II")


class Op(IntEnum):
    """What the kernel asks."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    READDIRPLUS = 44
    RENAME2 = 45


class Feature(IntFlag):
    """What INIT agrees on."""

    ASYNC_READ = 1 << 0
    ATOMIC_O_TRUNC = 1 << 3
    BIG_WRITES = 1 << 5
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22


WANTED = (
    Feature.ASYNC_READ
    | Feature.ATOMIC_O_TRUNC
    | Feature.BIG_WRITES
    | Feature.AUTO_INVAL_DATA
    | Feature.DO_READDIRPLUS
    | Feature.READDIRPLUS_AUTO
    | Feature.PARALLEL_DIROPS
    | Feature.MAX_PAGES
)
KEEP_CACHE = 1 << 1  # in the answer to OPEN: what the kernel has of the file is still true
_INVAL_INODE = 2  # a notice, not an answer
_SET_MODE, _SET_SIZE, _SET_ATIME, _SET_MTIME, _SET_ATIME_NOW, _SET_MTIME_NOW = 1, 8, 16, 32, 128, 256
_SET_OWNER = 2 | 4


def answer(unique: int, *parts: bytes | memoryview) -> list[bytes | memoryview]:
    """An answer's pieces, to be written in one call."""
    return [OUT.pack(OUT.size + sum(map(len, parts)), 0, unique), *parts]


def failure(unique: int, number: int) -> bytes:
    """An answer that says why not."""
    return OUT.pack(OUT.size, -number, unique)


def stale(node: int) -> bytes:
    """A notice that what the kernel remembers of a node's attributes is no longer true."""
    return OUT.pack(OUT.size + _INVALIDATE.size, _INVAL_INODE, 0) + _INVALIDATE.pack(node, -1, 0)


def init(readahead: int, features: int, max_write: int) -> bytes:
    """The answer to INIT: many reads at a time, and large ones."""
    flags = features & WANTED
    pages = max(1, max_write // 4096) if flags & Feature.MAX_PAGES else 0
    return _INIT_OUT.pack(MAJOR, MINOR, readahead, flags, 64, 48, max_write, 1, max(pages, 256) if pages else 0, 0)


def attributes(seen: Attributes, owner: tuple[int, int]) -> bytes:
    """A fuse_attr."""
    second = 1_000_000_000
    return _ATTRIBUTES.pack(
        seen.ino,
        seen.size,
        seen.blocks,
        max(0, seen.atime) // second,
        max(0, seen.mtime) // second,
        max(0, seen.ctime) // second,
        max(0, seen.atime) % second,
        max(0, seen.mtime) % second,
        max(0, seen.ctime) % second,
        seen.mode,
        seen.nlink,
        *owner,
        _device(seen.rdev),
        seen.blksize,
        0,
    )


def entry(node: int, valid: float, packed: bytes) -> bytes:
    """A fuse_entry_out; node 0 with empty attributes says that there is none."""
    seconds, rest = int(valid), int(valid % 1 * 1e9)
    return _ENTRY.pack(node, 0, seconds, seconds, rest, rest) + (packed or bytes(_ATTRIBUTES.size))


def attribute_answer(valid: float, packed: bytes) -> bytes:
    """A fuse_attr_out."""
    return _VALID.pack(int(valid), int(valid % 1 * 1e9), 0) + packed


def opened(handle: int, flags: int = 0) -> bytes:
    """A fuse_open_out."""
    return _OPENED.pack(handle, flags, 0)


def dirent(ino: int, offset: int, mode: int, name: bytes) -> bytes:
    """A fuse_dirent; `offset` is where the next one begins."""
    return _DIRENT.pack(ino, offset, len(name), stat.S_IFMT(mode) >> 12) + name + bytes(-(_DIRENT.size + len(name)) % 8)


def statfs(seen: Statfs) -> bytes:
    """A fuse_kstatfs."""
    return _STATFS.pack(
        seen.blocks, seen.bfree, seen.bavail, seen.files, seen.ffree, seen.bsize, seen.namelen, seen.bsize, 0
    )


def change(body: memoryview) -> Change | None:
    """What SETATTR sets; None where it would change the owner."""
    valid, _, _, size, _, atime, mtime, _, atime_ns, mtime_ns, _, mode, _, _, _, _ = SETATTR.unpack_from(body)
    if valid & _SET_OWNER:
        return None
    return Change(
        mode=mode if valid & _SET_MODE else None,
        size=size if valid & _SET_SIZE else None,
        atime=(NOW if valid & _SET_ATIME_NOW else atime * 1_000_000_000 + atime_ns) if valid & _SET_ATIME else None,
        mtime=(NOW if valid & _SET_MTIME_NOW else mtime * 1_000_000_000 + mtime_ns) if valid & _SET_MTIME else None,
    )


def names(body: memoryview) -> list[bytes]:
    """The names at the end of a request, each closed by a zero."""
    return bytes(body).split(b"\0")[:-1]


def _device(rdev: int) -> int:
    """A device's number as the kernel packs it for user space."""
    major, minor = os.major(rdev), os.minor(rdev)
    return (minor & 0xFF) | major << 8 | (minor & ~0xFF) << 12
