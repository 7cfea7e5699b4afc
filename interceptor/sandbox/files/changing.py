"""What the kernel asks of a volume that changes it (`--mount rw`), done in the pod; `server` calls it by operation."""

from __future__ import annotations

import errno
import os
import stat

from interceptor.sandbox.files import abi
from interceptor.sandbox.files.nodes import VALID, Node
from interceptor.sandbox.files.readahead import OpenFile
from interceptor.sandbox.files.view import Body, View, below
from interceptor.wire import files as wire
from interceptor.wire.files import Ask, Attributes, Step

_RENAME_NOREPLACE = 1


class ChangingView(View):
    """A volume that may be written. Where it may not, the kernel's mount is read-only and asks none of this."""

    async def write(self, node: Node, body: Body) -> list[bytes]:
        """Bytes for an open file."""
        handle, offset, size, _, _, _, _ = abi.WRITE.unpack_from(body)
        file = self._files[handle][1]
        await self._settle(node, file)
        await file.write(offset, bytes(body[abi.WRITE.size : abi.WRITE.size + size]))
        self.nodes.changed()
        return [abi.WRITTEN.pack(size, 0)]

    async def flush(self, _: Node, body: Body) -> list[bytes]:
        """A program closes its descriptor: what it wrote must be in the pod, or the error be told."""
        await self._files[abi.HANDLE.unpack_from(body)[0]][1].written()
        return []

    async def fsync(self, _: Node, body: Body) -> list[bytes]:
        """What was written must be on the pod's disk."""
        file = self._files[abi.HANDLE.unpack_from(body)[0]][1]
        await file.written()
        await file.remote.sync()
        return []

    async def nothing(self, _: Node, __: Body) -> list[bytes]:
        """Nothing has to be done."""
        return []

    async def create(self, parent: Node, body: Body) -> list[bytes]:
        """A regular file that may not be there yet, opened."""
        flags, mode, _, _ = abi.CREATE.unpack_from(body)
        (name,) = abi.names(body[abi.CREATE.size :])
        remote = await self._remote.create(self._root, below(parent, name), flags, mode)
        assert remote.attributes is not None
        node = self._made(parent, name, remote.attributes)
        node.kept = None
        handle = self._keep(node, OpenFile(remote, self._budget, self._start))
        return [self._entry(node), abi.opened(handle)]

    async def mknod(self, parent: Node, body: Body) -> list[bytes]:
        """A regular file by mknod(2); a pipe or a device in the pod would be of no use here."""
        mode, _, _, _ = abi.MKNOD.unpack_from(body)
        (name,) = abi.names(body[abi.MKNOD.size :])
        if not stat.S_ISREG(mode):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        how = os.O_WRONLY | os.O_EXCL
        remote = await self._remote.create(self._root, below(parent, name), how, stat.S_IMODE(mode))
        assert remote.attributes is not None
        await remote.close()
        return [self._entry(self._made(parent, name, remote.attributes))]

    async def mkdir(self, parent: Node, body: Body) -> list[bytes]:
        """A folder."""
        mode, _ = abi.FLAGS.unpack_from(body)
        (name,) = abi.names(body[abi.FLAGS.size :])
        made = await self._remote.make(Ask.MKDIR, self._root, below(parent, name), wire.FLAGS.pack(0, mode & 0o7777))
        return [self._entry(self._made(parent, name, made))]

    async def symlink(self, parent: Node, body: Body) -> list[bytes]:
        """A link."""
        name, target = abi.names(body)
        made = await self._remote.make(Ask.SYMLINK, self._root, below(parent, name), target)
        return [self._entry(self._made(parent, name, made, target))]

    async def link(self, parent: Node, body: Body) -> list[bytes]:
        """A second name for a file."""
        old = self.nodes.get(abi.NODE.unpack_from(body)[0])
        (name,) = abi.names(body[abi.NODE.size :])
        await self._settle(old)
        existing = wire.place(self._root, old.path)
        made = await self._remote.make(Ask.LINK, self._root, below(parent, name), existing)
        return [self._entry(self._made(parent, name, made))]

    def _made(self, parent: Node, name: bytes, seen: Attributes, target: bytes = b"") -> Node:
        self.nodes.changed()
        return self.nodes.entered(parent, name, Step(name, 0, seen, target))

    async def setattr(self, node: Node, body: Body) -> list[bytes]:
        """Mode, size and times; nobody else can be made the owner."""
        change = abi.change(body)
        if change is None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        await self._settle(node)
        for other, file in self._files.values():
            if other is node:
                file.forget_read()
        seen = await self._remote.set(self._root, node.path, change)
        self.nodes.changed()
        node.seen, node.kept = seen, None
        return [abi.attribute_answer(VALID, self._packed(seen))]

    async def unlink(self, parent: Node, body: Body) -> list[bytes]:
        """A name of a file goes."""
        return await self._remove(Ask.UNLINK, parent, body)

    async def rmdir(self, parent: Node, body: Body) -> list[bytes]:
        """An empty folder goes."""
        return await self._remove(Ask.RMDIR, parent, body)

    async def _remove(self, ask: Ask, parent: Node, body: Body) -> list[bytes]:
        (name,) = abi.names(body)
        await self._remote.change(ask, wire.place(self._root, below(parent, name)))
        self.nodes.changed()
        there = parent.children.get(name)
        if there is not None:
            self.nodes.left(there)
        return []

    async def rename(self, parent: Node, body: Body) -> list[bytes]:
        """Another name, in place of what has it."""
        return await self._move(parent, abi.NODE.unpack_from(body)[0], abi.names(body[abi.NODE.size :]))

    async def rename2(self, parent: Node, body: Body) -> list[bytes]:
        """The same; NOREPLACE is asked for beforehand, for the agent has no call that does it in one step."""
        folder, flags, _ = abi.RENAME2.unpack_from(body)
        names = abi.names(body[abi.RENAME2.size :])
        if flags & ~_RENAME_NOREPLACE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if flags:
            there = await self._remote.walk(self._root, below(self.nodes.get(folder), names[1]))
            if not there or there[0].errno != errno.ENOENT:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        return await self._move(parent, folder, names)

    async def _move(self, parent: Node, folder: int, names: list[bytes]) -> list[bytes]:
        name, new = names
        other = self.nodes.get(folder)
        there = parent.children.get(name)
        if there is not None:
            await self._settle(there)
        source, target = wire.place(self._root, below(parent, name)), wire.place(self._root, below(other, new))
        await self._remote.change(Ask.RENAME, source, target)
        self.nodes.changed()
        if there is not None:
            self.nodes.moved(there, other, new)
        return []
