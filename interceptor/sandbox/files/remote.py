"""The container's files as asyncio calls; `server` and `copies` ask, `session` serves it beside everything else.

A stream that ends (the pod went, the tunnel broke) is opened again, perhaps to another pod of the workload. Questions that
may be repeated wait for that a while; a change that may or may not have happened fails with EIO instead. An open file is
opened anew, and is stale (ESTALE) if it is not the same file any more.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from interceptor.errors import InterceptorError
from interceptor.sandbox.files.link import Link, Lost
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire import files as wire
from interceptor.wire.files import Ask, Attributes, Change, Reader, Root, Statfs, Step
from interceptor.wire.reasons import Reason

PATIENCE = 30.0  # seconds a question waits for the tunnel to come back
_PAUSE = 0.2


class Outgoing(Protocol):
    """A stream that the agent accepted."""

    def attach(self, sock: socket.socket, early: bytes = b"") -> None:
        """Relay between `sock` and the agent from now on, and close it in the end."""


Opener = Callable[[Mapping[str, Any]], Awaitable[Outgoing]]
"""Opens a stream for a target as soon as an agent is connected; raises StreamRefused."""


class RemoteFiles:
    """The volumes of one container: `roots` in the order of `paths`."""

    def __init__(self, opener: Opener, paths: Sequence[str], *, write: bool = False) -> None:
        self._opener = opener
        self._target = {"files": list(paths), "write": write}
        self._link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Keep a stream open until cancelled."""
        while True:
            try:
                outgoing = await self._opener(self._target)
            except StreamRefused as refused:
                if refused.reason is Reason.DENIED:
                    raise InterceptorError(f"the agent serves no files: {refused.text}") from refused
                await asyncio.sleep(_PAUSE)
                continue
            link = Link()
            outgoing.attach(link.far)
            self._link.set_result(link)
            try:
                await asyncio.shield(link.over)
            finally:
                link.close()
                self._link = asyncio.get_running_loop().create_future()

    async def link(self) -> Link:
        """The stream that is open, waited for. Raises OSError EIO."""
        try:
            async with asyncio.timeout(PATIENCE):
                while (link := await asyncio.shield(self._link)).over.done():  # noqa: ASYNC110
                    await asyncio.sleep(0)  # `serve` is about to see it, too
                return link
        except TimeoutError:
            raise OSError(errno.EIO, "the pod can't be reached") from None

    async def ask(self, ask: Ask, *parts: bytes) -> Reader:
        """A question that may be repeated."""
        while True:
            try:
                return Reader(await (await self.link()).ask(ask, *parts))
            except Lost:
                continue

    async def change(self, ask: Ask, *parts: bytes) -> Reader:
        """A question that may not."""
        try:
            return Reader(await (await self.link()).ask(ask, *parts))
        except Lost:
            raise OSError(errno.EIO, "the tunnel was lost") from None

    # --- questions -----------------------------------------------------------------------------------------------------

    async def roots(self) -> list[Root]:
        """What is there of the paths."""
        return list((await self.ask(Ask.ROOTS)).roots())

    async def walk(self, root: int, path: bytes) -> list[Step]:
        """What is at a place, and on the way to what it means where it is a link."""
        return list((await self.ask(Ask.WALK, wire.place(root, path))).steps())

    async def statfs(self, root: int) -> Statfs:
        """The file system under a root."""
        return (await self.ask(Ask.STATFS, wire.place(root, b""))).statfs()

    async def open(self, root: int, path: bytes, flags: int) -> RemoteFile:
        """A regular file."""
        file = RemoteFile(self, root, path, flags)
        await file.reopen()
        file.flags &= ~os.O_TRUNC
        return file

    async def create(self, root: int, path: bytes, flags: int, mode: int) -> RemoteFile:
        """A regular file that may not be there yet."""
        link = await self.link()
        try:
            answer = Reader(await link.ask(Ask.CREATE, wire.place(root, path), wire.FLAGS.pack(flags, mode)))
        except Lost:
            raise OSError(errno.EIO, "the tunnel was lost") from None
        file = RemoteFile(self, root, path, flags & ~(os.O_TRUNC | os.O_EXCL))
        file.opened(link, answer)
        return file

    async def folder(self, root: int, path: bytes) -> RemoteFolder:
        """A folder to be listed."""
        folder = RemoteFolder(self, root, path)
        await folder.rewind()
        return folder

    async def set(self, root: int, path: bytes, change: Change) -> Attributes:
        """Mode, size, times: setting them twice does no harm."""
        return (await self.ask(Ask.CHANGE, wire.place(root, path), change.pack())).attributes()

    async def make(self, ask: Ask, root: int, path: bytes, more: bytes) -> Attributes:
        """MKDIR, SYMLINK or LINK."""
        return (await self.change(ask, wire.place(root, path), more)).attributes()


class RemoteFile:
    """One open file."""

    def __init__(self, remote: RemoteFiles, root: int, path: bytes, flags: int) -> None:
        self._remote, self._root, self._path, self.flags = remote, root, path, flags
        self._link: Link | None = None
        self._handle = b""
        self._opening = asyncio.Lock()
        self.attributes: Attributes | None = None
        self.first: memoryview = memoryview(b"")

    def opened(self, link: Link, answer: Reader) -> None:
        """The pod has it open."""
        handle = bytes(answer.take(wire.HANDLE.size))
        attributes = answer.attributes()
        if self.attributes is not None and self.attributes.identity != attributes.identity:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        self._link, self._handle, self.attributes = link, handle, attributes
        self.first = answer.rest

    async def reopen(self) -> None:
        """Open it where it is not open on the stream that lives."""
        async with self._opening:
            while self._link is None or self._link.over.done():
                link = await self._remote.link()
                try:
                    answer = await link.ask(
                        Ask.OPEN, wire.place(self._root, self._path), wire.FLAGS.pack(self.flags, 0)
                    )
                except Lost:
                    continue
                self.opened(link, Reader(answer))

    async def read(self, offset: int, size: int) -> memoryview:
        """Up to `size` bytes, at most MOST_READ; fewer only at the end."""
        while True:
            await self.reopen()
            assert self._link is not None
            handle = wire.HANDLE.unpack(self._handle)[0]
            try:
                return await self._link.ask(Ask.READ, wire.SPAN.pack(handle, offset, size))
            except Lost:
                continue

    async def write(self, offset: int, data: bytes) -> None:
        """All of it, or an error."""
        await self.reopen()
        assert self._link is not None
        handle = wire.HANDLE.unpack(self._handle)[0]
        try:
            await self._link.ask(Ask.WRITE, wire.SPAN.pack(handle, offset, len(data)), data)
        except Lost:
            raise OSError(errno.EIO, "the tunnel was lost") from None

    async def sync(self) -> None:
        """To the disk."""
        if self._link is None:
            return
        try:
            await self._link.ask(Ask.SYNC, self._handle)
        except Lost:
            raise OSError(errno.EIO, "the tunnel was lost") from None

    async def close(self) -> None:
        """Give it back; on a stream that is over it is closed already."""
        if self._link is not None and not self._link.over.done():
            try:
                await self._link.ask(Ask.CLOSE, self._handle)
            except Lost:
                return


class RemoteFolder:
    """A folder's entries, a page at a time."""

    def __init__(self, remote: RemoteFiles, root: int, path: bytes) -> None:
        self._remote, self._root, self._path = remote, root, path
        self._link: Link | None = None
        self._handle = b""

    async def rewind(self) -> None:
        """Begin anew."""
        await self.close()
        while True:
            self._link = await self._remote.link()
            try:
                self._handle = bytes(await self._link.ask(Ask.FOLDER, wire.place(self._root, self._path)))
            except Lost:
                continue
            return

    async def page(self) -> list[Step]:
        """The next entries; none at the end. A stream lost in the middle is an error: another's order is another."""
        assert self._link is not None
        try:
            steps = list(Reader(await self._link.ask(Ask.LIST, self._handle)).steps())
        except Lost:
            raise OSError(errno.EIO, "the tunnel was lost") from None
        if not all(wire.is_name(step.path) for step in steps):  # the pod is somebody else's, and may say anything
            raise OSError(errno.EIO, "the pod told a name that no file has")
        return steps

    async def close(self) -> None:
        """Give it back."""
        if self._link is not None and self._handle and not self._link.over.done():
            try:
                await self._link.ask(Ask.CLOSE, self._handle)
            except Lost:
                return
