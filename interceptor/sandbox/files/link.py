"""One files stream's end on this machine: questions out, answers to who waits for them; `remote` makes one after another.

The bytes come through a socket pair whose other end belongs to the tunnel. An answer is received into the buffer it is
handed over in, so that a large read is copied once.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from interceptor.wire import files as wire
from interceptor.wire.files import Ask

_SCRATCH = 64 * 1024
_GIVES_HANDLE = frozenset({Ask.OPEN, Ask.CREATE, Ask.FOLDER})
_LONGEST = 4 * wire.MOST  # of an answer: a page of entries may go beyond by one with long names


class Lost(Exception):
    """The stream ended before the answer came: whether the pod did what was asked is not known."""


class Link:
    """Many questions at a time over one stream. `over` is set when it has ended."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock, self.far = socket.socketpair()
        self._sock.setblocking(False)
        self.far.setblocking(False)
        self._number = 0
        self._answers: dict[int, asyncio.Future[memoryview]] = {}
        self._unwanted: set[int] = set()  # questions given up whose answer is a handle to be closed
        self._slots = asyncio.Semaphore(wire.AT_ONCE - 8)
        self._out = bytearray()
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._head = b""
        self._body: memoryview | None = None  # of the answer that is coming in
        self._got = 0
        self._waiting: asyncio.Future[memoryview] | None = None
        self._code = 0
        self._closes = False
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._sock, self._readable)

    async def ask(self, ask: Ask, *parts: bytes | memoryview) -> memoryview:
        """The answer's payload. Raises OSError with the pod's errno, or Lost."""
        async with self._slots:
            if self.over.done():
                raise Lost
            self._number = number = self._number % 0xFFFF_FFFF + 1
            answer: asyncio.Future[memoryview] = self._loop.create_future()
            self._answers[number] = answer
            try:
                self._send(wire.message(number, ask, *parts))
                return await answer
            except asyncio.CancelledError:
                if ask in _GIVES_HANDLE and not self.over.done():
                    self._unwanted.add(number)
                raise
            finally:
                del self._answers[number]

    def close(self) -> None:
        """End the stream; who waits is told that it is lost."""
        if self.over.done():
            return
        self.over.set_result(None)
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Lost())

    def _send(self, message: bytes) -> None:
        sent = 0
        if not self._out:
            try:
                sent = self._sock.send(message)
            except BlockingIOError:
                pass  # all of it waits
            except OSError:
                self.close()
                return
        if sent < len(message):
            if not self._out:
                self._loop.add_writer(self._sock, self._writable)
            self._out += message[sent:]  # no more than the slots allow

    def _writable(self) -> None:
        try:
            del self._out[: self._sock.send(self._out)]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not self._out:
            self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            if self._body is not None:
                got = self._sock.recv_into(self._body[self._got :])
            else:
                got = self._sock.recv_into(self._scratch)
        except BlockingIOError:
            return
        except OSError:
            got = 0
        if not got:
            self.close()
        elif self._body is not None:
            self._got += got
            self._deliver()
        else:
            self._take(self._scratch[:got])

    def _take(self, data: memoryview) -> None:
        """Heads, and what of their answers came with them."""
        while data and not self.over.done():
            missing = wire.HEADER.size - len(self._head)
            self._head += data[:missing]
            data = data[missing:]
            if len(self._head) < wire.HEADER.size:
                return
            size, number, self._code = wire.HEADER.unpack(self._head)
            if size > _LONGEST:
                self.close()
                return
            self._head = b""
            self._waiting = self._answers.get(number)  # None: nobody waits for it any more
            self._closes = number in self._unwanted
            self._unwanted.discard(number)
            self._body, self._got = memoryview(bytearray(size)), min(size, len(data))
            self._body[: self._got] = data[: self._got]
            data = data[self._got :]
            self._deliver()

    def _deliver(self) -> None:
        assert self._body is not None
        if self._got < len(self._body):
            return
        body, waiting, self._body, self._waiting = self._body, self._waiting, None, None
        if waiting is None or waiting.done():
            if self._closes and not self._code:
                self._send(wire.message(0, Ask.CLOSE, body[: wire.HANDLE.size]))
            return
        if self._code:
            number = self._code if self._code in errno.errorcode else errno.EIO
            waiting.set_exception(OSError(number, os.strerror(number)))
        else:
            waiting.set_result(body)
