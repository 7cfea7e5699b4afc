"""The container's volumes for the developer's machine: `tunnels` hands in streams that ask for files.

Each stream has a reader thread and four that work: a volume may be a disk in a network that takes its time, and the loop
may not wait for it. What is held is bounded: the threads stop reading when answers aren't taken. Questions about one open
file are answered in their order. The words are `wire.files`; what is served says `volumes`, how `answers` and `tree`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import socket
import threading
from pathlib import Path
from typing import Any

from agent.answers import Answers
from agent.volumes import folder_of
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.relay import Relay
from interceptor.wire import files as wire
from interceptor.wire.errors import RemoteProtocolError
from interceptor.wire.files import Ask, Reader
from interceptor.wire.reasons import Reason

MOST_STREAMS = 4
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
        self._folders, self._may_write = folders, write
        self._saying = threading.Lock()
        self._work: list[queue.Queue[Question | None]] = [queue.Queue(4) for _ in range(WORKERS)]

    def run(self) -> None:
        """Serve until the stream ends."""
        answers = Answers(self._folders, write=self._may_write)
        workers = [threading.Thread(target=self._worker, args=(work, answers), daemon=True) for work in self._work]
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
            answers.close()

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

    def _worker(self, work: queue.Queue[Question | None], answers: Answers) -> None:
        buffer = bytearray(wire.HEADER.size + wire.MOST_READ)  # reads go out from where they came in
        while (question := work.get()) is not None:
            number, ask, payload = question
            try:
                if ask is Ask.READ:
                    self._read_file(number, Reader(payload), answers, memoryview(buffer))
                else:
                    self._answer(number, 0, answers.answer(ask, Reader(payload)))
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

    def _read_file(self, number: int, question: Reader, answers: Answers, buffer: memoryview) -> None:
        handle, offset, size = question.unpack(wire.SPAN)
        start = wire.HEADER.size
        got = os.preadv(answers.file(handle), [buffer[start : start + min(size, wire.MOST_READ)]], offset)
        wire.HEADER.pack_into(buffer, 0, got, number, 0)
        self._say(buffer[: start + got])
