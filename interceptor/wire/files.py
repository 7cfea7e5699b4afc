"""What the two ends of a files stream say to each other, as bytes; `agent.files` answers, `sandbox.files.remote` asks.

A files stream is an ordinary stream of the tunnel, opened with the target `{"files": [paths]}`. Questions may be under way
many at a time; answers carry the question's number and come in any order. Names are bytes, as the kernel has them.

A place is a root (its index in the stream's `files`) and a path in it without a leading slash; empty is the root itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from interceptor.wire.errors import RemoteProtocolError

HEADER = struct.Struct(">IIH")
"""length of the payload, number of the question, then what is asked (an `Ask`) or an errno (0: it worked)."""

MOST = 1024 * 1024  # bytes of payload in one question or answer
MOST_READ = 512 * 1024  # bytes asked for at a time
AT_ONCE = 64  # questions under way; a client keeps below, an agent reads no more
FIRST = 128 * 1024  # bytes that OPEN answers at once: most configuration is no larger
PAGE = 64 * 1024  # bytes of entries of a folder in one answer, and one entry more


class Ask(IntEnum):
    """What is asked; numbers never change their meaning."""

    ROOTS = 1  # -> per root errno, whether it may be written, attributes
    WALK = 2  # place -> steps: every link and its target on the way, the last one being what the place leads to
    OPEN = 3  # place, flags -> handle, attributes, the first bytes
    READ = 4  # handle, offset, size -> bytes
    CLOSE = 5  # handle
    FOLDER = 6  # place -> handle of a list
    LIST = 7  # handle -> entries with attributes and targets; none at the end
    STATFS = 8  # place -> numbers
    WRITE = 9  # handle, offset, bytes
    CREATE = 10  # place, flags, mode -> handle, attributes
    CHANGE = 11  # place, what to change -> attributes
    MKDIR = 12  # place, mode -> attributes
    SYMLINK = 13  # place, target -> attributes
    LINK = 14  # place, place -> attributes
    RENAME = 15  # place, place
    UNLINK = 16  # place
    RMDIR = 17  # place
    SYNC = 18  # handle


_ATTRIBUTES = struct.Struct(">QQIIIIQQqqqQI")
_PLACE = struct.Struct(">HH")
_STEP = struct.Struct(">HHHH")
_ROOT = struct.Struct(">HB")
_STATFS = struct.Struct(">QQQQQII")
_CHANGE = struct.Struct(">BIQqq")
HANDLE = struct.Struct(">I")
SPAN = struct.Struct(">IQI")  # handle, offset, size
FLAGS = struct.Struct(">II")  # flags, mode


class Attributes(NamedTuple):
    """What stat tells; times in nanoseconds, blocks of 512 bytes."""

    ino: int
    dev: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    rdev: int
    atime: int
    mtime: int
    ctime: int
    blocks: int
    blksize: int

    def pack(self) -> bytes:
        """As the wire has it."""
        return _ATTRIBUTES.pack(*self)

    @property
    def identity(self) -> tuple[int, int]:
        """The same for two names of one file, different for what took its place."""
        return self.dev, self.ino


class Step(NamedTuple):
    """One thing on the way to a place: where it is, or why it can't be told, and where it points if it is a link."""

    path: bytes
    errno: int
    attributes: Attributes | None
    target: bytes


class Root(NamedTuple):
    """One of the stream's roots. `errno` is not 0 where it isn't served."""

    errno: int
    writable: bool
    attributes: Attributes | None


class Statfs(NamedTuple):
    """What statvfs tells of the file system under a root."""

    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int
    bsize: int
    namelen: int


class Change(NamedTuple):
    """What CHANGE sets; None stays as it is. Times in nanoseconds, NOW for the pod's clock."""

    mode: int | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None

    def pack(self) -> bytes:
        """As the wire has it."""
        given = sum(1 << bit for bit, value in enumerate(self) if value is not None)
        return _CHANGE.pack(given, *(value or 0 for value in self))


NOW = -1


class Reader:
    """Takes a payload apart from its start. What is missing is the peer's error."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)

    @property
    def rest(self) -> memoryview:
        """What was not taken yet."""
        return self._data

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        if size > len(self._data):
            raise RemoteProtocolError("a files message ends too early")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def unpack(self, form: struct.Struct) -> tuple[int, ...]:
        """The next numbers."""
        return form.unpack(self.take(form.size))

    def attributes(self) -> Attributes:
        """The next attributes."""
        return Attributes(*self.unpack(_ATTRIBUTES))

    def place(self) -> tuple[int, bytes]:
        """The next place."""
        root, length = self.unpack(_PLACE)
        return root, bytes(self.take(length))

    def change(self) -> Change:
        """The next change."""
        given, *values = self.unpack(_CHANGE)
        return Change(*(value if given >> bit & 1 else None for bit, value in enumerate(values)))

    def statfs(self) -> Statfs:
        """The next file system's numbers."""
        return Statfs(*self.unpack(_STATFS))

    def steps(self) -> Iterator[Step]:
        """Steps up to the end."""
        while self._data:
            errno, path, target, attributes = self.unpack(_STEP)
            where = bytes(self.take(path))
            yield Step(where, errno, self.attributes() if attributes else None, bytes(self.take(target)))

    def roots(self) -> Iterator[Root]:
        """Roots up to the end."""
        while self._data:
            errno, writable = self.unpack(_ROOT)
            yield Root(errno, bool(writable), None if errno else self.attributes())


def is_name(name: bytes) -> bool:
    """Whether it is the name of something in a folder: a peer that tells another could lead out of that."""
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name


def place(root: int, path: bytes) -> bytes:
    """The reverse of `Reader.place`."""
    return _PLACE.pack(root, len(path)) + path


def step(one: Step) -> bytes:
    """The reverse of one of `Reader.steps`."""
    has = one.attributes is not None
    packed = one.attributes.pack() if one.attributes is not None else b""
    return _STEP.pack(one.errno, len(one.path), len(one.target), has) + one.path + packed + one.target


def root(one: Root) -> bytes:
    """The reverse of one of `Reader.roots`."""
    packed = one.attributes.pack() if one.attributes is not None else b""
    return _ROOT.pack(one.errno, one.writable) + packed


def statfs(one: Statfs) -> bytes:
    """The reverse of `Reader.statfs`."""
    return _STATFS.pack(*one)


def message(number: int, code: int, *parts: bytes | memoryview) -> bytes:
    """One whole question or answer."""
    return b"".join((HEADER.pack(sum(map(len, parts)), number, code), *parts))
