"""What the developer's machine asks about files, carried out in the volumes; `files` calls it on its worker threads.

Answers are payloads of `wire.files`; an OSError is the answer otherwise. Only reading a file is done by `files` itself, into
the buffer it sends.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from agent.tree import Tree, attributes_of
from interceptor.wire import files as wire
from interceptor.wire.files import Ask, Reader, Root, Step

MOST_HANDLES = 4096


class Answers:
    """One stream's roots and what it has open. Handles are used by one thread at a time: `files` sees to that."""

    def __init__(self, folders: Sequence[str | None], *, write: bool) -> None:
        self._write = write
        self._roots = [self._tree(folder) for folder in folders]
        self._handles: dict[int, int | Iterator[Step]] = {}
        self._numbers = itertools.count(1)

    def answer(self, ask: Ask, question: Reader) -> bytes:
        """Do what is asked."""
        return _DO[ask](self, question)

    def close(self) -> None:
        """Give everything back."""
        for handle in list(self._handles):
            self._close(handle)
        for tree in self._roots:
            if isinstance(tree, Tree):
                tree.close()

    def file(self, handle: int) -> int:
        """The descriptor of an open file."""
        descriptor = self._handles.get(handle)
        if not isinstance(descriptor, int):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return descriptor

    def _tree(self, folder: str | None) -> Tree | OSError:
        if folder is None:
            return OSError(errno.EACCES, os.strerror(errno.EACCES))
        try:
            return Tree(folder, write=self._write)
        except OSError as error:
            return error

    # --- questions -----------------------------------------------------------------------------------------------------

    def _tell_roots(self, _: Reader) -> bytes:
        told = []
        for tree in self._roots:
            if isinstance(tree, OSError):
                told.append(wire.root(Root(tree.errno or errno.EIO, False, None)))
            else:
                told.append(wire.root(Root(0, tree.writable, tree.attributes(b""))))
        return b"".join(told)

    def _walk(self, question: Reader) -> bytes:
        tree, path = self._place(question)
        if not path:
            return wire.step(Step(b"", 0, tree.attributes(b""), b""))
        return b"".join(map(wire.step, tree.walk(path)))

    def _open(self, question: Reader) -> bytes:
        tree, path = self._place(question)
        flags, _ = question.unpack(wire.FLAGS)
        descriptor = tree.open(path, flags)
        first = b""
        if flags & os.O_ACCMODE == os.O_RDONLY:
            try:
                first = os.pread(descriptor, wire.FIRST, 0)
            except OSError:
                os.close(descriptor)
                raise
        return self._opened(descriptor) + first

    def _create(self, question: Reader) -> bytes:
        tree, path = self._place(question)
        flags, mode = question.unpack(wire.FLAGS)
        return self._opened(tree.create(path, flags, mode))

    def _opened(self, descriptor: int) -> bytes:
        try:
            handle = self._keep(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        return wire.HANDLE.pack(handle) + attributes_of(os.fstat(descriptor)).pack()

    def _close_handle(self, question: Reader) -> bytes:
        self._close(question.unpack(wire.HANDLE)[0])
        return b""

    def _list_folder(self, question: Reader) -> bytes:
        tree, path = self._place(question)
        if not stat.S_ISDIR(tree.attributes(path).mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return wire.HANDLE.pack(self._keep(tree.entries(path)))

    def _list(self, question: Reader) -> bytes:
        entries = self._handles.get(question.unpack(wire.HANDLE)[0])
        if entries is None or isinstance(entries, int):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        page = bytearray()
        for entry in entries:
            page += wire.step(entry)
            if len(page) >= wire.PAGE:
                break
        return bytes(page)

    def _statfs(self, question: Reader) -> bytes:
        return wire.statfs(self._place(question)[0].statfs())

    def _write_file(self, question: Reader) -> bytes:
        handle, offset, size = question.unpack(wire.SPAN)
        data, descriptor = question.take(size), self.file(handle)
        while data:
            written = os.pwrite(descriptor, data, offset)
            data, offset = data[written:], offset + written
        return b""

    def _change(self, question: Reader) -> bytes:
        tree, path = self._place(question)
        tree.change(path, question.change())
        return tree.attributes(path).pack()

    def _mkdir(self, question: Reader) -> bytes:
        tree, path = self._place(question)
        tree.mkdir(path, question.unpack(wire.FLAGS)[1])
        return tree.attributes(path).pack()

    def _symlink(self, question: Reader) -> bytes:
        tree, path = self._place(question)
        tree.symlink(path, bytes(question.rest))
        return tree.attributes(path).pack()

    def _link(self, question: Reader) -> bytes:
        tree, path, existing = self._two(question)
        tree.link(path, existing)
        return tree.attributes(path).pack()

    def _rename(self, question: Reader) -> bytes:
        tree, path, to = self._two(question)
        tree.rename(path, to)
        return b""

    def _unlink(self, question: Reader) -> bytes:
        tree, path = self._place(question)
        tree.unlink(path)
        return b""

    def _rmdir(self, question: Reader) -> bytes:
        tree, path = self._place(question)
        tree.rmdir(path)
        return b""

    def _sync(self, question: Reader) -> bytes:
        os.fsync(self.file(question.unpack(wire.HANDLE)[0]))
        return b""

    # --- what questions name -------------------------------------------------------------------------------------------

    def _place(self, question: Reader) -> tuple[Tree, bytes]:
        root, path = question.place()
        if root >= len(self._roots):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        tree = self._roots[root]
        if isinstance(tree, OSError):
            raise OSError(tree.errno or errno.EIO, tree.strerror or "")
        return tree, path

    def _two(self, question: Reader) -> tuple[Tree, bytes, bytes]:
        tree, path = self._place(question)
        other, second = self._place(question)
        if other is not tree:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return tree, path, second

    def _keep(self, what: int | Iterator[Step]) -> int:
        if len(self._handles) >= MOST_HANDLES:
            raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
        handle = next(self._numbers)
        self._handles[handle] = what
        return handle

    def _close(self, handle: int) -> None:
        what = self._handles.pop(handle, None)
        if isinstance(what, int):
            os.close(what)
        elif what is not None:
            what.close()  # type: ignore[attr-defined]  # a generator: gives its descriptor back


_DO: dict[Ask, Callable[[Answers, Reader], bytes]] = {
    Ask.ROOTS: Answers._tell_roots,
    Ask.WALK: Answers._walk,
    Ask.OPEN: Answers._open,
    Ask.CLOSE: Answers._close_handle,
    Ask.FOLDER: Answers._list_folder,
    Ask.LIST: Answers._list,
    Ask.STATFS: Answers._statfs,
    Ask.WRITE: Answers._write_file,
    Ask.CREATE: Answers._create,
    Ask.CHANGE: Answers._change,
    Ask.MKDIR: Answers._mkdir,
    Ask.SYMLINK: Answers._symlink,
    Ask.LINK: Answers._link,
    Ask.RENAME: Answers._rename,
    Ask.UNLINK: Answers._unlink,
    Ask.RMDIR: Answers._rmdir,
    Ask.SYNC: Answers._sync,
}
