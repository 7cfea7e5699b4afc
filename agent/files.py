"""The container's volumes for the developer's machine: `tunnels` hands in streams that ask for files.

Each stream has a reader thread and four that work: a volume may be a disk in a network that takes its time, and the loop
may not wait for it. What is held is bounded: the threads stop reading when answers aren't taken. Questions about one open
file are answered in their order. Words of the conversation: `wire.files`; what is served: `volumes`; how: `tree`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import queue
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.tree import Tree, attributes_of
from agent.volumes import folder_of
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.relay import Relay
from interceptor.wire import files as wire
from interceptor.wire.errors import RemoteProtocolError
from interceptor.wire.files import Ask, Reader, Root, Step
from interceptor.wire.reasons import Reason

MOST_STREAMS = 4
MOST_HANDLES = 4096
MOST_ROOTS = 256
WORKERS = 4
_OF_A_HANDLE = frozenset({Ask.READ, Ask.CLOSE, Ask.LIST, Ask.WRITE, Ask.SYNC})

Question = tuple[int, Ask, bytes]


class Files:
    """Serves streams opened with `{"files": [mount paths], "write": whether changes are allowed}`."""

    def __init__(self, own: Path) -> None:
        self._own = own
        self._live: list[threading.Thread] = []

    def open(self, mux: Mux, relay: Relay, target: dict[str, Any]) -> None:
        """Answer a stream."""
        paths = target.get("files")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths) or len(paths) > MOST_ROOTS:
            mux.refuse(relay, Reason.DENIED, "files are named by a list of paths")
            return
        self._live = [thread for thread in self._live if thread.is_alive()]
        if len(self._live) >= MOST_STREAMS:
            mux.refuse(relay, Reason.MEMORY, f"{MOST_STREAMS} streams for files are open already")
            return
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        folders = [folder_of(path, self._own) for path in paths]
        service = _Service(ours, folders, write=target.get("write") is True)
        self._live.append(threading.Thread(target=service.run, name="files", daemon=True))
        self._live[-1].start()
        mux.accept(relay, theirs)


class _Service:
    """One stream, from its first question to its end."""

    def __init__(self, sock: socket.socket, folders: list[str | None], *, write: bool) -> None:
        self._sock = sock
        self._folders = folders
        self._write = write
        self._roots: list[Tree | OSError] = []
        self._handles: dict[int, int | Iterator[Step]] = {}
        self._numbers = itertools.count(1)
        self._saying = threading.Lock()
        self._work: list[queue.Queue[Question | None]] = [queue.Queue(4) for _ in range(WORKERS)]

    def run(self) -> None:
        """Serve until the stream ends."""
        self._roots = [self._tree(folder) for folder in self._folders]
        workers = [threading.Thread(target=self._worker, args=(work,), daemon=True) for work in self._work]
        for worker in workers:
            worker.start()
        try:
            self._read()
        except (OSError, RemoteProtocolError):
            pass  # the stream is over, or its other end makes no sense: both end it
        finally:
            self._end()  # wakes a worker whose answer nobody takes
            for work in self._work:
                work.put(None)
            for worker in workers:
                worker.join()
            self._sock.close()
            for handle in list(self._handles):
                self._close(handle)
            for tree in self._roots:
                if isinstance(tree, Tree):
                    tree.close()

    def _tree(self, folder: str | None) -> Tree | OSError:
        if folder is None:
            return OSError(errno.EACCES, os.strerror(errno.EACCES))
        try:
            return Tree(folder, write=self._write)
        except OSError as error:
            return error

    def _read(self) -> None:
        with self._sock.makefile("rb") as stream:
            while True:
                head = stream.read(wire.HEADER.size)
                if len(head) < wire.HEADER.size:
                    return
                size, number, code = wire.HEADER.unpack(head)
                if size > wire.MOST:
                    return
                payload = stream.read(size)
                try:
                    ask = Ask(code)
                except ValueError:
                    self._answer(number, errno.ENOSYS)
                    continue
                place = Reader(payload).unpack(wire.HANDLE)[0] if ask in _OF_A_HANDLE else number
                self._work[place % WORKERS].put((number, ask, payload))

    def _worker(self, work: queue.Queue[Question | None]) -> None:
        buffer = bytearray(wire.HEADER.size + wire.MOST_READ)  # reads go out from where they came in
        while (question := work.get()) is not None:
            number, ask, payload = question
            try:
                if ask is Ask.READ:
                    self._read_file(number, Reader(payload), memoryview(buffer))
                else:
                    self._answer(number, 0, _DO[ask](self, Reader(payload)))
            except RemoteProtocolError:
                self._end()
            except OSError as error:
                self._answer(number, error.errno or errno.EIO)
            except BaseException:  # a bug: the thread's end is told with its traceback, the stream ends with it
                self._end()
                raise

    def _answer(self, number: int, code: int, payload: bytes = b"") -> None:
        self._say(wire.message(number, code, payload))

    def _say(self, message: bytes | memoryview) -> None:
        try:
            with self._saying:
                self._sock.sendall(message)
        except OSError:
            pass  # the stream is over, as the reader sees too

    def _end(self) -> None:
        with contextlib.suppress(OSError):  # it is over already
            self._sock.shutdown(socket.SHUT_RDWR)

    # --- answers -------------------------------------------------------------------------------------------------------

    def _read_file(self, number: int, question: Reader, buffer: memoryview) -> None:
        handle, offset, size = question.unpack(wire.SPAN)
        start = wire.HEADER.size
        got = os.preadv(self._file(handle), [buffer[start : start + min(size, wire.MOST_READ)]], offset)
        wire.HEADER.pack_into(buffer, 0, got, number, 0)
        self._say(buffer[: start + got])

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
        data, descriptor = question.take(size), self._file(handle)
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
        os.fsync(self._file(question.unpack(wire.HANDLE)[0]))
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

    def _file(self, handle: int) -> int:
        descriptor = self._handles.get(handle)
        if not isinstance(descriptor, int):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return descriptor

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


_DO: dict[Ask, Callable[[_Service, Reader], bytes]] = {
    Ask.ROOTS: _Service._tell_roots,
    Ask.WALK: _Service._walk,
    Ask.OPEN: _Service._open,
    Ask.CLOSE: _Service._close_handle,
    Ask.FOLDER: _Service._list_folder,
    Ask.LIST: _Service._list,
    Ask.STATFS: _Service._statfs,
    Ask.WRITE: _Service._write_file,
    Ask.CREATE: _Service._create,
    Ask.CHANGE: _Service._change,
    Ask.MKDIR: _Service._mkdir,
    Ask.SYMLINK: _Service._symlink,
    Ask.LINK: _Service._link,
    Ask.RENAME: _Service._rename,
    Ask.UNLINK: _Service._unlink,
    Ask.RMDIR: _Service._rmdir,
    Ask.SYNC: _Service._sync,
}
