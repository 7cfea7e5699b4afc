"""Answers the kernel for one mounted volume: /dev/fuse on one side, the pod's files on the other; `session` runs it.

The descriptor comes from the child that mounted it in the sandbox (`sandbox.namespace`); when this program is gone, the
mount answers ENOTCONN, and it goes with its namespace. Everything belongs to whoever runs COMMAND: the pod's users mean
nothing here, and whether a file may be read is decided where it is, in the pod.

One request is one task, so that one that waits for the tunnel keeps no other; Ctrl-C in COMMAND cancels what it waits for.
What each asks for is answered by `view` and `changing`.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from interceptor.sandbox.files import abi
from interceptor.sandbox.files.abi import Op
from interceptor.sandbox.files.changing import ChangingView
from interceptor.sandbox.files.nodes import Node
from interceptor.sandbox.files.readahead import Budget
from interceptor.sandbox.files.remote import RemoteFiles
from interceptor.sandbox.files.view import Body, Parts
from interceptor.wire.files import Attributes

MAX_WRITE = 256 * 1024
_BUFFER = memoryview(bytearray(MAX_WRITE + 64 * 1024))  # requests are taken apart before the next one is read
_MOST_A_TURN = 16
_NO_ANSWER = frozenset({Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT, Op.DESTROY})
# What is asked of something that the kernel has found a moment ago. When it is gone, the kubelet may have exchanged a
# volume's files meanwhile: told ESTALE, the kernel goes the whole way once more and believes nothing it remembers.
_OF_WHAT_IS_THERE = frozenset({Op.GETATTR, Op.READLINK, Op.OPEN, Op.OPENDIR})


class FuseServer:
    """One volume. `fd` is an open /dev/fuse that was mounted."""

    def __init__(self, fd: int, remote: RemoteFiles, root: int, attributes: Attributes, budget: Budget) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._view = ChangingView(remote, root, attributes, budget, self._start, lambda notice: self._write([notice]))
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
                    self._view.close()
        finally:
            os.close(self._fd)

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
            self._view.nodes.forget(number, abi.NUMBER.unpack_from(body)[0])
        elif op is Op.BATCH_FORGET:
            count, _ = abi.BATCH.unpack_from(body)
            for index in range(count):
                self._view.nodes.forget(*abi.FORGET.unpack_from(body, abi.BATCH.size + index * abi.FORGET.size))
        elif op is Op.INTERRUPT:
            task = self._tasks.get(abi.NUMBER.unpack_from(body)[0])
            if task is not None:
                task.cancel()

    def _start_request(self, op: Op, unique: int, number: int, body: Body) -> None:
        task = self._start(self._serve(op, unique, number, body), f"{op.name} {number}")
        self._tasks[unique] = task
        task.add_done_callback(lambda task: self._ended(unique, task))

    def _ended(self, unique: int, task: asyncio.Task[None]) -> None:
        """Answer what was given up here: a task that is cancelled before its first step can't, and who asked waits."""
        self._tasks.pop(unique, None)
        if task.cancelled():
            self._write([abi.failure(unique, errno.EINTR)])

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work, name=name)

    async def _serve(self, op: Op, unique: int, number: int, body: Body) -> None:
        try:
            node = self._view.nodes.get(number)
            parts = await _DO[op](self._view, node, body)
        except OSError as error:
            number = error.errno or errno.EIO
            if number == errno.ENOENT and op in _OF_WHAT_IS_THERE:
                number = errno.ESTALE
            if number == errno.ESTALE:
                self._view.nodes.changed()
            self._write([abi.failure(unique, number)])
        else:
            self._write(abi.answer(unique, *parts))

    def _write(self, parts: list[bytes | memoryview] | list[bytes]) -> None:
        try:
            os.writev(self._fd, parts)
        except OSError as error:
            # ENOENT: whoever asked was killed meanwhile. ENODEV: unmounted, as the next read says.
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EBADF):
                raise


_DO: dict[Op, Callable[[ChangingView, Node, Body], Awaitable[Parts]]] = {
    Op.LOOKUP: ChangingView.lookup,
    Op.GETATTR: ChangingView.getattr,
    Op.SETATTR: ChangingView.setattr,
    Op.READLINK: ChangingView.readlink,
    Op.SYMLINK: ChangingView.symlink,
    Op.MKNOD: ChangingView.mknod,
    Op.MKDIR: ChangingView.mkdir,
    Op.UNLINK: ChangingView.unlink,
    Op.RMDIR: ChangingView.rmdir,
    Op.RENAME: ChangingView.rename,
    Op.RENAME2: ChangingView.rename2,
    Op.LINK: ChangingView.link,
    Op.OPEN: ChangingView.open,
    Op.READ: ChangingView.read,
    Op.WRITE: ChangingView.write,
    Op.STATFS: ChangingView.statfs,
    Op.RELEASE: ChangingView.release,
    Op.FSYNC: ChangingView.fsync,
    Op.FLUSH: ChangingView.flush,
    Op.OPENDIR: ChangingView.opendir,
    Op.READDIR: ChangingView.readdir,
    Op.READDIRPLUS: ChangingView.readdirplus,
    Op.RELEASEDIR: ChangingView.releasedir,
    Op.FSYNCDIR: ChangingView.nothing,
    Op.CREATE: ChangingView.create,
}
