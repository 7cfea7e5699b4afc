"""Answers the kernel for one mounted volume: /dev/fuse on one side, the pod's files on the other; `session` runs it.

The descriptor comes from the child that mounted it in the sandbox (`sandbox.namespace`); when this program is gone, the
mount answers ENOTCONN, and it goes with its namespace. Everything belongs to whoever runs COMMAND: the pod's users mean
nothing here, and whether a file may be read is decided where it is, in the pod.

One request is one task, so that one that waits for the tunnel keeps no other; Ctrl-C in COMMAND cancels what it waits for.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import stat
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from interceptor.sandbox.files import abi
from interceptor.sandbox.files.abi import Op
from interceptor.sandbox.files.nodes import ROOT, VALID, Node, Nodes
from interceptor.sandbox.files.readahead import Budget, OpenFile
from interceptor.sandbox.files.remote import RemoteFiles, RemoteFolder
from interceptor.wire import files as wire
from interceptor.wire.files import Ask, Attributes, Step

MAX_WRITE = 256 * 1024
_BUFFER = memoryview(bytearray(MAX_WRITE + 64 * 1024))  # requests are taken apart before the next one is read
_MOST_A_TURN = 16
_NO_ANSWER = frozenset({Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT, Op.DESTROY})
# What is asked of something that the kernel has found a moment ago. When it is gone, the kubelet may have exchanged a
# volume's files meanwhile: told ESTALE, the kernel goes the whole way once more and believes nothing it remembers.
_OF_WHAT_IS_THERE = frozenset({Op.GETATTR, Op.READLINK, Op.OPEN, Op.OPENDIR})
_RENAME_NOREPLACE = 1

Body = memoryview


class FuseServer:
    """One volume. `fd` is an open /dev/fuse that was mounted."""

    def __init__(self, fd: int, remote: RemoteFiles, root: int, attributes: Attributes, budget: Budget) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._remote = remote
        self._root = root
        self._budget = budget
        self._nodes = Nodes(attributes)
        self._owner = (os.getuid(), os.getgid())
        self._files: dict[int, tuple[Node, OpenFile]] = {}
        self._folders: dict[int, _Folder] = {}
        self._handles = itertools.count(1)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def serve(self) -> None:
        """Answer until it is unmounted, or this is cancelled."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        try:
            async with asyncio.TaskGroup() as self._group:
                loop.add_reader(self._fd, self._readable, over)
                try:
                    await over
                finally:
                    loop.remove_reader(self._fd)
                    for task in list(self._tasks.values()):
                        task.cancel()
                    for _, file in self._files.values():
                        file.forget_read()
        finally:
            os.close(self._fd)

    # --- requests ------------------------------------------------------------------------------------------------------

    def _readable(self, over: asyncio.Future[None]) -> None:
        for _ in range(_MOST_A_TURN):
            try:
                got = os.readv(self._fd, [_BUFFER])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno == errno.ENOENT:  # a request was taken back while we read it
                    continue
                if not over.done():
                    over.set_result(None)  # ENODEV: unmounted
                return
            self._request(_BUFFER[:got])

    def _request(self, data: memoryview) -> None:
        _, code, unique, number, _, _, _, _ = abi.IN.unpack_from(data)
        body = data[abi.IN.size :]
        try:
            op = Op(code)
        except ValueError:
            self._write([abi.failure(unique, errno.ENOSYS)])
            return
        if op is Op.INIT:
            _, _, readahead, features = abi.INIT_IN.unpack_from(body)
            self._write(abi.answer(unique, abi.init(readahead, features, MAX_WRITE)))
        elif op in _NO_ANSWER:
            self._take_notice(op, number, body)
        else:
            self._start_request(op, unique, number, memoryview(bytes(body)))

    def _take_notice(self, op: Op, number: int, body: Body) -> None:
        if op is Op.FORGET:
            self._nodes.forget(number, abi.NUMBER.unpack_from(body)[0])
        elif op is Op.BATCH_FORGET:
            count, _ = abi.BATCH.unpack_from(body)
            for index in range(count):
                self._nodes.forget(*abi.FORGET.unpack_from(body, abi.BATCH.size + index * abi.FORGET.size))
        elif op is Op.INTERRUPT:
            task = self._tasks.get(abi.NUMBER.unpack_from(body)[0])
            if task is not None:
                task.cancel()

    def _start_request(self, op: Op, unique: int, number: int, body: Body) -> None:
        task = self._start(self._serve(op, unique, number, body), f"{op.name} {number}")
        self._tasks[unique] = task
        task.add_done_callback(lambda _: self._tasks.pop(unique, None))

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work, name=name)

    async def _serve(self, op: Op, unique: int, number: int, body: Body) -> None:
        try:
            node = self._nodes.get(number)
            parts = await _DO[op](self, node, body)
        except OSError as error:
            number = error.errno or errno.EIO
            if number == errno.ENOENT and op in _OF_WHAT_IS_THERE:
                number = errno.ESTALE
            if number == errno.ESTALE:
                self._nodes.changed()
            self._write([abi.failure(unique, number)])
        except asyncio.CancelledError:
            self._write([abi.failure(unique, errno.EINTR)])
            raise
        else:
            self._write(abi.answer(unique, *parts))

    def _write(self, parts: list[bytes | memoryview] | list[bytes]) -> None:
        try:
            os.writev(self._fd, parts)
        except OSError as error:
            # ENOENT: whoever asked was killed meanwhile. ENODEV: unmounted, as the next read says.
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EBADF):
                raise

    # --- names and attributes ------------------------------------------------------------------------------------------

    async def _step(self, path: bytes) -> Step:
        """What is at a place now, as far as a second ago is now."""
        known = self._nodes.known(path)
        if known is None:
            steps = await self._remote.walk(self._root, path)
            self._nodes.learn(steps)
            known = steps[0]
        if known.errno:
            # A folder on the way is gone: not "no such file", the way is another by now.
            number = known.errno if known.path == path else errno.ESTALE
            raise OSError(number, os.strerror(number))
        return known

    async def _look(self, node: Node) -> Attributes:
        """A node's attributes. A file that is gone but open has those it had."""
        loop = asyncio.get_running_loop()
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
        node.seen, node.target, node.until = step.attributes, step.target, loop.time() + VALID
        return node.seen

    def _is_open(self, node: Node) -> bool:
        return any(opened is node for opened, _ in self._files.values())

    def _packed(self, seen: Attributes) -> bytes:
        return abi.attributes(seen, self._owner)

    def _entry(self, node: Node) -> bytes:
        return abi.entry(node.number, VALID, self._packed(node.seen))

    async def _lookup(self, parent: Node, body: Body) -> list[bytes]:
        (name,) = abi.names(body)
        try:
            step = await self._step(_below(parent, name))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            there = parent.children.get(name)
            if there is not None:
                self._nodes.left(there)
            return [abi.entry(0, VALID, b"")]  # "there is none" may be believed as long as anything
        return [self._entry(self._nodes.entered(parent, name, step))]

    async def _getattr(self, node: Node, _: Body) -> list[bytes]:
        await self._settle(node)
        return [abi.attribute_answer(VALID, self._packed(await self._look(node)))]

    async def _readlink(self, node: Node, _: Body) -> list[bytes]:
        if asyncio.get_running_loop().time() > node.until:
            await self._look(node)
        return [node.target]

    async def _statfs(self, _: Node, __: Body) -> list[bytes]:
        return [abi.statfs(await self._remote.statfs(self._root))]

    # --- files ---------------------------------------------------------------------------------------------------------

    async def _open(self, node: Node, body: Body) -> list[bytes]:
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
            self._nodes.changed()
        if (remote.attributes.size, remote.attributes.mtime) != (node.seen.size, node.seen.mtime):
            node.seen = remote.attributes
            self._write([abi.stale(node.number)])  # or the kernel would read no further than the size it knows
        return [abi.opened(self._keep(node, OpenFile(remote, self._budget, self._start)), keep)]

    def _keep(self, node: Node, file: OpenFile) -> int:
        handle = next(self._handles)
        self._files[handle] = node, file
        return handle

    async def _read(self, node: Node, body: Body) -> list[memoryview]:
        handle, offset, size = abi.READ.unpack_from(body)
        await self._settle(node, self._files[handle][1])
        return await self._files[handle][1].read(offset, size)

    async def _release(self, _: Node, body: Body) -> list[bytes]:
        _, file = self._files.pop(abi.HANDLE.unpack_from(body)[0])
        await file.close()
        return []

    async def _settle(self, node: Node, but: OpenFile | None = None) -> None:
        """Have all that was written to a file through other handles in the pod, before it is looked at."""
        for other, file in list(self._files.values()):
            if other is node and file is not but:
                await file.written()

    # --- folders -------------------------------------------------------------------------------------------------------

    async def _opendir(self, node: Node, _: Body) -> list[bytes]:
        handle = next(self._handles)
        self._folders[handle] = _Folder(await self._remote.folder(self._root, node.path))
        return [abi.opened(handle)]

    async def _readdir(self, node: Node, body: Body) -> list[bytes]:
        return await self._entries(node, body, plus=False)

    async def _readdirplus(self, node: Node, body: Body) -> list[bytes]:
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
                    self._entry(self._nodes.entered(node, step.path, step)) if step.attributes else abi.entry(0, 0, b"")
                )
                part = known + part
            parts.append(part)
            room -= len(part)
            offset += 1
        return parts

    async def _releasedir(self, _: Node, body: Body) -> list[bytes]:
        folder = self._folders.pop(abi.HANDLE.unpack_from(body)[0])
        await folder.remote.close()
        return []

    # --- changes -------------------------------------------------------------------------------------------------------

    async def _write_file(self, node: Node, body: Body) -> list[bytes]:
        handle, offset, size, _, _, _, _ = abi.WRITE.unpack_from(body)
        file = self._files[handle][1]
        await self._settle(node, file)
        await file.write(offset, bytes(body[abi.WRITE.size : abi.WRITE.size + size]))
        self._nodes.changed()
        return [abi.WRITTEN.pack(size, 0)]

    async def _flush(self, _: Node, body: Body) -> list[bytes]:
        await self._files[abi.HANDLE.unpack_from(body)[0]][1].written()
        return []

    async def _fsync(self, _: Node, body: Body) -> list[bytes]:
        file = self._files[abi.HANDLE.unpack_from(body)[0]][1]
        await file.written()
        await file.remote.sync()
        return []

    async def _nothing(self, _: Node, __: Body) -> list[bytes]:
        return []

    async def _create(self, parent: Node, body: Body) -> list[bytes]:
        flags, mode, _, _ = abi.CREATE.unpack_from(body)
        (name,) = abi.names(body[abi.CREATE.size :])
        remote = await self._remote.create(self._root, _below(parent, name), flags, mode)
        assert remote.attributes is not None
        node = self._made(parent, name, remote.attributes)
        node.kept = None
        handle = self._keep(node, OpenFile(remote, self._budget, self._start))
        return [self._entry(node), abi.opened(handle)]

    async def _mknod(self, parent: Node, body: Body) -> list[bytes]:
        """A regular file by mknod(2); a pipe or a device in the pod would be of no use here."""
        mode, _, _, _ = abi.MKNOD.unpack_from(body)
        (name,) = abi.names(body[abi.MKNOD.size :])
        if not stat.S_ISREG(mode):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        how = os.O_WRONLY | os.O_EXCL
        remote = await self._remote.create(self._root, _below(parent, name), how, stat.S_IMODE(mode))
        assert remote.attributes is not None
        await remote.close()
        return [self._entry(self._made(parent, name, remote.attributes))]

    async def _mkdir(self, parent: Node, body: Body) -> list[bytes]:
        mode, _ = abi.FLAGS.unpack_from(body)
        (name,) = abi.names(body[abi.FLAGS.size :])
        made = await self._remote.make(Ask.MKDIR, self._root, _below(parent, name), wire.FLAGS.pack(0, mode & 0o7777))
        return [self._entry(self._made(parent, name, made))]

    async def _symlink(self, parent: Node, body: Body) -> list[bytes]:
        name, target = abi.names(body)
        made = await self._remote.make(Ask.SYMLINK, self._root, _below(parent, name), target)
        return [self._entry(self._made(parent, name, made, target))]

    async def _link(self, parent: Node, body: Body) -> list[bytes]:
        old = self._nodes.get(abi.NODE.unpack_from(body)[0])
        (name,) = abi.names(body[abi.NODE.size :])
        await self._settle(old)
        existing = wire.place(self._root, old.path)
        made = await self._remote.make(Ask.LINK, self._root, _below(parent, name), existing)
        return [self._entry(self._made(parent, name, made))]

    def _made(self, parent: Node, name: bytes, seen: Attributes, target: bytes = b"") -> Node:
        self._nodes.changed()
        return self._nodes.entered(parent, name, Step(name, 0, seen, target))

    async def _setattr(self, node: Node, body: Body) -> list[bytes]:
        change = abi.change(body)
        if change is None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        await self._settle(node)
        for other, file in self._files.values():
            if other is node:
                file.forget_read()
        seen = await self._remote.set(self._root, node.path, change)
        self._nodes.changed()
        node.seen, node.kept = seen, None
        return [abi.attribute_answer(VALID, self._packed(seen))]

    async def _unlink(self, parent: Node, body: Body) -> list[bytes]:
        return await self._remove(Ask.UNLINK, parent, body)

    async def _rmdir(self, parent: Node, body: Body) -> list[bytes]:
        return await self._remove(Ask.RMDIR, parent, body)

    async def _remove(self, ask: Ask, parent: Node, body: Body) -> list[bytes]:
        (name,) = abi.names(body)
        await self._remote.change(ask, wire.place(self._root, _below(parent, name)))
        self._nodes.changed()
        there = parent.children.get(name)
        if there is not None:
            self._nodes.left(there)
        return []

    async def _rename(self, parent: Node, body: Body) -> list[bytes]:
        return await self._move(parent, abi.NODE.unpack_from(body)[0], abi.names(body[abi.NODE.size :]))

    async def _rename2(self, parent: Node, body: Body) -> list[bytes]:
        folder, flags, _ = abi.RENAME2.unpack_from(body)
        names = abi.names(body[abi.RENAME2.size :])
        if flags & ~_RENAME_NOREPLACE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if flags:
            there = await self._remote.walk(self._root, _below(self._nodes.get(folder), names[1]))
            if not there or there[0].errno != errno.ENOENT:
                raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        return await self._move(parent, folder, names)

    async def _move(self, parent: Node, folder: int, names: list[bytes]) -> list[bytes]:
        name, new = names
        other = self._nodes.get(folder)
        there = parent.children.get(name)
        if there is not None:
            await self._settle(there)
        source, target = wire.place(self._root, _below(parent, name)), wire.place(self._root, _below(other, new))
        await self._remote.change(Ask.RENAME, source, target)
        self._nodes.changed()
        if there is not None:
            self._nodes.moved(there, other, new)
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


def _below(parent: Node, name: bytes) -> bytes:
    path = parent.path
    return path + b"/" + name if path else name


_DO: dict[Op, Callable[[FuseServer, Node, Body], Awaitable[list[bytes] | list[memoryview]]]] = {
    Op.LOOKUP: FuseServer._lookup,
    Op.GETATTR: FuseServer._getattr,
    Op.SETATTR: FuseServer._setattr,
    Op.READLINK: FuseServer._readlink,
    Op.SYMLINK: FuseServer._symlink,
    Op.MKNOD: FuseServer._mknod,
    Op.MKDIR: FuseServer._mkdir,
    Op.UNLINK: FuseServer._unlink,
    Op.RMDIR: FuseServer._rmdir,
    Op.RENAME: FuseServer._rename,
    Op.RENAME2: FuseServer._rename2,
    Op.LINK: FuseServer._link,
    Op.OPEN: FuseServer._open,
    Op.READ: FuseServer._read,
    Op.WRITE: FuseServer._write_file,
    Op.STATFS: FuseServer._statfs,
    Op.RELEASE: FuseServer._release,
    Op.FSYNC: FuseServer._fsync,
    Op.FLUSH: FuseServer._flush,
    Op.OPENDIR: FuseServer._opendir,
    Op.READDIR: FuseServer._readdir,
    Op.READDIRPLUS: FuseServer._readdirplus,
    Op.RELEASEDIR: FuseServer._releasedir,
    Op.FSYNCDIR: FuseServer._nothing,
    Op.CREATE: FuseServer._create,
}
