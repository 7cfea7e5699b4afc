"""What the kernel asks of a volume that changes nothing, answered with what the pod tells; `server` calls it by operation.

Each answer is the parts of a message; an OSError is the answer otherwise. `changing` has the rest.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from collections.abc import Callable

from interceptor.sandbox.files import abi
from interceptor.sandbox.files.nodes import ROOT, VALID, Node, Nodes
from interceptor.sandbox.files.readahead import Budget, OpenFile, Start
from interceptor.sandbox.files.remote import RemoteFiles, RemoteFolder
from interceptor.wire.files import Attributes, Step

Body = memoryview
Parts = list[bytes] | list[memoryview]


class View:
    """One volume as the kernel sees it: nodes, open files, open folders. `notify` sends the kernel a notice."""

    def __init__(
        self,
        remote: RemoteFiles,
        root: int,
        attributes: Attributes,
        budget: Budget,
        start: Start,
        notify: Callable[[bytes], None],
    ) -> None:
        self._remote = remote
        self._root = root
        self._budget, self._start, self._notify = budget, start, notify
        self.nodes = Nodes(attributes)
        self._owner = (os.getuid(), os.getgid())
        self._files: dict[int, tuple[Node, OpenFile]] = {}
        self._folders: dict[int, _Folder] = {}
        self._handles = itertools.count(1)

    def close(self) -> None:
        """Nobody will ask any more: what is read ahead is not wanted."""
        for _, file in self._files.values():
            file.forget_read()

    # --- names and attributes ------------------------------------------------------------------------------------------

    async def _step(self, path: bytes) -> Step:
        """What is at a place now, as far as a second ago is now."""
        known = self.nodes.known(path)
        if known is None:
            steps = await self._remote.walk(self._root, path)
            self.nodes.learn(steps)
            known = steps[0] if steps else None
        if known is None:  # a folder on the way has become a link
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        if known.errno:
            # A folder on the way is gone: not "no such file", the way is another by now.
            number = known.errno if known.path == path else errno.ESTALE
            raise OSError(number, os.strerror(number))
        return known

    async def _look(self, node: Node) -> Attributes:
        """A node's attributes. A file that is gone but open has those it had."""
        try:
            step = await self._step(node.path)
        except OSError as error:
            if error.errno in (errno.ESTALE, errno.ENOENT) and self._is_open(node):
                return node.seen
            raise
        assert step.attributes is not None
        if node.number != ROOT and step.attributes.identity != node.seen.identity:
            if self._is_open(node):
                return node.seen
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        node.seen, node.target, node.until = step.attributes, step.target, time.monotonic() + VALID
        return node.seen

    def _is_open(self, node: Node) -> bool:
        return any(opened is node for opened, _ in self._files.values())

    def _packed(self, seen: Attributes) -> bytes:
        return abi.attributes(seen, self._owner)

    def _entry(self, node: Node) -> bytes:
        return abi.entry(node.number, VALID, self._packed(node.seen))

    async def lookup(self, parent: Node, body: Body) -> list[bytes]:
        """A name in a folder."""
        (name,) = abi.names(body)
        try:
            step = await self._step(below(parent, name))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            there = parent.children.get(name)
            if there is not None:
                self.nodes.left(there)
            return [abi.entry(0, VALID, b"")]  # "there is none" may be believed as long as anything
        return [self._entry(self.nodes.entered(parent, name, step))]

    async def getattr(self, node: Node, _: Body) -> list[bytes]:
        """What stat tells."""
        await self._settle(node)
        return [abi.attribute_answer(VALID, self._packed(await self._look(node)))]

    async def readlink(self, node: Node, _: Body) -> list[bytes]:
        """Where a link points."""
        if time.monotonic() > node.until:
            await self._look(node)
        return [node.target]

    async def statfs(self, _: Node, __: Body) -> list[bytes]:
        """The file system under the volume."""
        return [abi.statfs(await self._remote.statfs(self._root))]

    # --- files ---------------------------------------------------------------------------------------------------------

    async def open(self, node: Node, body: Body) -> list[bytes]:
        """A regular file."""
        flags, _ = abi.FLAGS.unpack_from(body)
        await self._settle(node)
        remote = await self._remote.open(self._root, node.path, flags)
        assert remote.attributes is not None
        keep = 0
        if flags & os.O_ACCMODE == os.O_RDONLY:
            version = (remote.attributes.identity, remote.attributes.mtime, remote.attributes.size)
            keep = abi.KEEP_CACHE if node.kept == version else 0
            node.kept = version
        else:
            node.kept = None
            self.nodes.changed()
        if (remote.attributes.size, remote.attributes.mtime) != (node.seen.size, node.seen.mtime):
            node.seen = remote.attributes
            self._notify(abi.stale(node.number))  # or the kernel would read no further than the size it knows
        return [abi.opened(self._keep(node, OpenFile(remote, self._budget, self._start)), keep)]

    def _keep(self, node: Node, file: OpenFile) -> int:
        handle = next(self._handles)
        self._files[handle] = node, file
        return handle

    async def read(self, node: Node, body: Body) -> list[memoryview]:
        """Bytes of an open file."""
        handle, offset, size = abi.READ.unpack_from(body)
        await self._settle(node, self._files[handle][1])
        return await self._files[handle][1].read(offset, size)

    async def release(self, _: Node, body: Body) -> list[bytes]:
        """The last user of a handle has closed it."""
        _, file = self._files.pop(abi.HANDLE.unpack_from(body)[0])
        await file.close()
        return []

    async def _settle(self, node: Node, but: OpenFile | None = None) -> None:
        """Have all that was written to a file through other handles in the pod, before it is looked at."""
        for other, file in list(self._files.values()):
            if other is node and file is not but:
                await file.written()

    # --- folders -------------------------------------------------------------------------------------------------------

    async def opendir(self, node: Node, _: Body) -> list[bytes]:
        """A folder to be listed."""
        handle = next(self._handles)
        self._folders[handle] = _Folder(await self._remote.folder(self._root, node.path))
        return [abi.opened(handle)]

    async def readdir(self, node: Node, body: Body) -> list[bytes]:
        """The next names of a folder."""
        return await self._entries(node, body, plus=False)

    async def readdirplus(self, node: Node, body: Body) -> list[bytes]:
        """The next names, with what LOOKUP would tell of each."""
        return await self._entries(node, body, plus=True)

    async def _entries(self, node: Node, body: Body, *, plus: bool) -> list[bytes]:
        handle, offset, size = abi.READ.unpack_from(body)
        folder = self._folders[handle]
        parts: list[bytes] = []
        room = size
        while (step := await folder.at(offset)) is not None:
            mode = step.attributes.mode if step.attributes is not None else stat.S_IFDIR
            ino = step.attributes.ino if step.attributes is not None else node.seen.ino
            part = abi.dirent(ino, offset + 1, mode, step.path)
            if (plus and len(part) + len(abi.entry(0, 0, b"")) > room) or len(part) > room:
                break
            if plus:
                known = (
                    self._entry(self.nodes.entered(node, step.path, step)) if step.attributes else abi.entry(0, 0, b"")
                )
                part = known + part
            parts.append(part)
            room -= len(part)
            offset += 1
        return parts

    async def releasedir(self, _: Node, body: Body) -> list[bytes]:
        """A listing is over."""
        folder = self._folders.pop(abi.HANDLE.unpack_from(body)[0])
        await folder.remote.close()
        return []


class _Folder:
    """A folder the kernel lists: entry by number, `.` and `..` first, over pages that come in order."""

    def __init__(self, remote: RemoteFolder) -> None:
        self.remote = remote
        self._start = 2  # the number of the page's first entry
        self._page: list[Step] = []

    async def at(self, number: int) -> Step | None:
        """The entry; None behind the last."""
        if number < 2:
            return Step((b".", b"..")[number], 0, None, b"")
        if number < self._start:  # rewinddir, or seekdir far back
            await self.remote.rewind()
            self._start, self._page = 2, []
        while number >= self._start + len(self._page):
            page = await self.remote.page()
            if not page:
                return None
            self._start, self._page = self._start + len(self._page), page
        return self._page[number - self._start]


def below(parent: Node, name: bytes) -> bytes:
    """The place of a name in a folder."""
    path = parent.path
    return path + b"/" + name if path else name
