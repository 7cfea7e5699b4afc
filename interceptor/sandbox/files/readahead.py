"""One open file on its way to the kernel: reads ahead of a reader that goes straight on, writes behind a writer.

The kernel asks for 128 KiB at a time, two questions ahead: over a tunnel that would be two packets in flight. Whoever reads
on where the last read ended gets a window of its own, doubled each time up to `MOST_AHEAD`; who jumps about gets just what
is asked. So a large file costs what is read of it, and a whole one comes at the tunnel's rate.

Writes return once they are on their way, as with NFS: what the pod answers is told by the next write, fsync or close.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from interceptor.sandbox.files.remote import RemoteFile
from interceptor.wire.files import FIRST, MOST_READ

PIECE = 256 * 1024
MOST_AHEAD = 4 * 1024 * 1024
FRESH = 2.0  # seconds after which what came ahead is asked again: the file may have changed since
BUDGET = 32 * 1024 * 1024  # ahead and behind, of all open files together

Start = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class Budget:
    """What all open files of a session hold."""

    def __init__(self) -> None:
        self.held = 0

    def take(self, size: int) -> bool:
        """Ask for memory."""
        if self.held + size > BUDGET:
            return False
        self.held += size
        return True

    def give(self, size: int) -> None:
        """Give it back."""
        self.held -= size


class _Piece:
    """Bytes asked for: there when the task is done."""

    __slots__ = ("asked_at", "charged", "data", "error", "offset", "size", "task")

    def __init__(self, offset: int, size: int, *, charged: bool) -> None:
        self.offset, self.size = offset, size
        self.charged = charged
        self.asked_at = time.monotonic()
        self.data: memoryview | None = None
        self.error: OSError | None = None
        self.task: asyncio.Task[None] | None = None


class OpenFile:
    """A handle the kernel holds."""

    def __init__(self, remote: RemoteFile, budget: Budget, start: Start) -> None:
        self.remote = remote
        self._budget = budget
        self._start = start
        self._first, remote.first = remote.first, memoryview(b"")
        self._opened_at = time.monotonic()
        self._pieces: deque[_Piece] = deque()
        self._next = 0  # where a reader that goes on would go on
        self._window = PIECE
        self._behind: set[asyncio.Task[None]] = set()
        self._failed: OSError | None = None

    async def read(self, offset: int, size: int) -> list[memoryview]:
        """The bytes, in one or several parts; fewer than asked for only at the file's end."""
        if self._behind:
            await self.written()
        now = time.monotonic()
        if self._pieces and self._pieces[0].asked_at < now - FRESH:
            self._drop(len(self._pieces))
        if self._first and self._opened_at < now - FRESH:
            self._first = memoryview(b"")
        if offset + size <= len(self._first) or (len(self._first) < FIRST and self._is_whole()):
            self._next = max(self._next, offset + size)
            return [self._first[offset : offset + size]]
        if offset == self._next:
            self._window = min(self._window * 2, MOST_AHEAD)
        elif not (self._pieces and self._pieces[0].offset <= offset < self._end()):
            self._drop(len(self._pieces))
            self._window = PIECE // 2
            self._next = offset + size
            return await self._read_now(offset, size)
        self._next = max(self._next, offset + size)
        self._ask_ahead(offset, size)
        parts = await self._collect(offset, size)
        while self._pieces and self._pieces[0].offset + self._pieces[0].size <= offset:
            self._drop(1)
        return parts

    def _is_whole(self) -> bool:
        """Whether all of it came when it was opened: then that is what it was, even if it grows now."""
        return self.remote.attributes is not None and len(self._first) == self.remote.attributes.size > 0

    def _end(self) -> int:
        last = self._pieces[-1]
        return last.offset + last.size

    def _ask_ahead(self, offset: int, size: int) -> None:
        """Have pieces under way that cover the read and the window behind it, but nothing beyond the known end."""
        assert self.remote.attributes is not None
        at = self._end() if self._pieces else offset
        stop = min(max(offset + size, offset + self._window), max(self.remote.attributes.size, offset + size))
        while at < stop:
            wanted = min(PIECE, stop - at)
            if wanted < PIECE // 2 and at > offset + size and stop < self.remote.attributes.size:
                return  # not worth a question of its own yet
            charged = self._budget.take(wanted)
            if not charged and at >= offset + size:
                return
            piece = _Piece(at, wanted, charged=charged)
            piece.task = self._start(self._fetch(piece), "read ahead")
            self._pieces.append(piece)
            at += wanted

    async def _fetch(self, piece: _Piece) -> None:
        try:
            piece.data = await self.remote.read(piece.offset, piece.size)
        except OSError as error:
            piece.error = error

    async def _collect(self, offset: int, size: int) -> list[memoryview]:
        parts: list[memoryview] = []
        for piece in list(self._pieces):
            if piece.offset + piece.size <= offset:
                continue
            if piece.offset >= offset + size:
                break
            assert piece.task is not None
            if not piece.task.done():
                await asyncio.wait([piece.task])
            if piece.error is not None:
                raise piece.error
            if piece.data is None:  # given up: another reader of this handle jumped away
                return await self._read_now(offset, size)
            start = max(0, offset - piece.offset)
            parts.append(piece.data[start : offset + size - piece.offset])
            if len(piece.data) < piece.size:
                break  # the end of the file
        return parts

    async def _read_now(self, offset: int, size: int) -> list[memoryview]:
        parts: list[memoryview] = []
        while size > 0:
            part = await self.remote.read(offset, min(size, MOST_READ))
            parts.append(part)
            if len(part) < min(size, MOST_READ):
                break
            offset, size = offset + len(part), size - len(part)
        return parts

    def _drop(self, count: int) -> None:
        for _ in range(count):
            piece = self._pieces.popleft()
            assert piece.task is not None
            piece.task.cancel()
            if piece.charged:
                self._budget.give(piece.size)

    # --- writing -------------------------------------------------------------------------------------------------------

    async def write(self, offset: int, data: bytes) -> None:
        """Take the bytes; an error may be an earlier write's."""
        self._raise_failure()
        self.forget_read()
        if self.remote.flags & (os.O_SYNC | os.O_DSYNC | os.O_APPEND) or not self._budget.take(len(data)):
            await self.written()
            await self.remote.write(offset, data)
            return
        task = self._start(self._write(offset, data), "write behind")
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _write(self, offset: int, data: bytes) -> None:
        try:
            await self.remote.write(offset, data)
        except OSError as error:
            self._failed = self._failed or error
        finally:
            self._budget.give(len(data))

    async def written(self) -> None:
        """Return when everything is in the pod; raises what went wrong since it was last told."""
        if self._behind:
            await asyncio.wait(self._behind)
        self._raise_failure()

    def forget_read(self) -> None:
        """What was read ahead may have changed."""
        self._first = memoryview(b"")
        self._drop(len(self._pieces))

    def _raise_failure(self) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    async def close(self) -> None:
        """The kernel has let go of it."""
        self.forget_read()
        if self._behind:
            await asyncio.wait(self._behind)
        try:
            await self.remote.close()
        except OSError as error:
            if error.errno != errno.EBADF:  # closed with its stream
                raise
