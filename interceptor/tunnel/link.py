"""One socket and its layers: hands decoded bytes up to `mux`, takes frames down. Knows nothing of frames.

Writing never blocks and never refuses: what the socket does not take at once waits in `backlog`. `mux` keeps that small
by not reading its local sockets while the link is `full`.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from interceptor.tunnel.poller import Poller
from interceptor.wire.layer import EMPTY, Buffer, Layer, LayerClosed, LayerError

READ_SIZE = 256 * 1024      # TLS wants at least this: 404 against 523 MB/s with 64 KiB (performance.md, 3)
FULL = 128 * 1024           # above it the link asks for no more data ...
DRAINED = 32 * 1024         # ... until below this
READS_A_TURN = 4            # then others get their turn


class LinkUser(Protocol):
    """Who a link serves: `mux`."""

    def link_ready(self) -> None:
        """Every layer's handshake is done."""

    def link_received(self, data: memoryview) -> None:
        """Decoded bytes; the view is valid until this returns."""

    def link_drained(self) -> None:
        """No longer full."""

    def link_lost(self, text: str) -> None:
        """The socket or a layer ended; called once, nothing follows."""


class Link:
    """Owns `sock` (non-blocking, connected) and `layers` (outermost first)."""

    def __init__(self, poller: Poller, sock: socket.socket, layers: Sequence[Layer], user: LinkUser) -> None:
        self._poller = poller
        self._sock = sock
        self._layers = tuple(layers)
        self._user = user
        self._buffer = bytearray(READ_SIZE)
        self._view = memoryview(self._buffer)
        self._queue: deque[memoryview] = deque()
        self._ready = False
        self._writing = False
        self._closed = False
        self._closing = False
        self.backlog = 0                # bytes accepted and not yet taken by the socket
        self.full = False
        self.received_at = poller.now()

    def start(self, early: bytes = b"") -> None:
        """Begin; `early` are bytes that whoever opened the socket has already decoded."""
        self._poller.readable(self._sock.fileno(), self._readable)
        self._guarded(lambda: self._deliver(memoryview(early)))

    def send(self, data: Buffer) -> None:
        """Encode and write; a view's bytes may change as soon as this returns."""
        for layer in reversed(self._layers):
            data = layer.send(data)
        self._write(data)

    def close(self, *, flush: bool = True) -> None:
        """End the link without telling its user; with `flush` what waits is written first, for a second at most."""
        if self._closed:
            return
        if flush and not self._closing:
            self._closing = True
            self._farewell()
        self._end_writing(flush=flush)

    def _end_writing(self, *, flush: bool) -> None:
        if self._closed:                # the farewell found the socket broken
            return
        if flush and self._queue:
            self._poller.readable(self._sock.fileno(), None)
            self._poller.call_later(1.0, self._shut)
        else:
            self._shut()

    # --- reading ---------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        self._guarded(self._read)

    def _read(self) -> None:
        for _ in range(READS_A_TURN):
            size = self._sock.recv_into(self._buffer)
            if not size:
                for layer in self._layers:      # one that ended behind data says so, with its reason, only now
                    layer.receive(EMPTY)
                raise LayerClosed("the connection was closed")
            self.received_at = self._poller.now()
            data = self._view[:size]
            for layer in self._layers:
                data = layer.receive(data)
            self._deliver(data)
            if self._closed or size < READ_SIZE // 2:
                return

    def _deliver(self, data: memoryview) -> None:
        self._pump()
        if not self._ready and all(layer.ready for layer in self._layers):
            self._ready = True
            self._user.link_ready()
        if len(data) and not self._closed:
            self._user.link_received(data)

    def _pump(self) -> None:
        """Send what the layers themselves have to say (handshakes, pongs), each through those below it."""
        for index in range(len(self._layers) - 1, -1, -1):
            data: Buffer = self._layers[index].pending()
            if data:
                for layer in reversed(self._layers[:index]):
                    data = layer.send(data)
                self._write(data)

    # --- writing ---------------------------------------------------------------------------------------------

    def _write(self, data: Buffer) -> None:
        if self._closed:
            return
        view = memoryview(data)
        if not self._queue:
            try:
                sent = self._sock.send(view)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._lose(f"the connection broke ({error.strerror or error})")
                return
            if sent == len(view):
                return
            view = view[sent:]
        # TLS and WebSocket hand over fresh bytes; a bare socket would hand over the caller's reused buffer.
        self._queue.append(view if self._layers else memoryview(bytes(view)))
        self.backlog += len(view)
        self.full = self.full or self.backlog > FULL
        if not self._writing:
            self._writing = True
            self._poller.writable(self._sock.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            while self._queue:
                view = self._queue[0]
                sent = self._sock.send(view)
                self.backlog -= sent
                if sent < len(view):
                    self._queue[0] = view[sent:]
                    break
                self._queue.popleft()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(f"the connection broke ({error.strerror or error})")
            return
        if not self._queue:
            self._writing = False
            self._poller.writable(self._sock.fileno(), None)
            if self._closing:
                self._shut()
                return
        if self.full and self.backlog < DRAINED:
            self.full = False
            self._user.link_drained()

    # --- the end ---------------------------------------------------------------------------------------------

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (BlockingIOError, InterruptedError):
            return
        except (LayerClosed, LayerError) as error:
            self._lose(str(self._first_end(error)))
        except OSError as error:
            self._lose(f"the connection broke ({error.strerror or error})")

    def _first_end(self, error: LayerClosed | LayerError) -> LayerClosed | LayerError:
        """The end that was read first: a layer above the one that raised may have found its own behind data."""
        for layer in self._layers:
            try:
                layer.receive(EMPTY)
            except (LayerClosed, LayerError) as end:
                error = end
        return error

    def _farewell(self) -> None:
        """Each layer's orderly end (close_notify, WebSocket close), through those below it."""
        for index in range(len(self._layers) - 1, -1, -1):
            try:
                data: Buffer = self._layers[index].close()
                for layer in reversed(self._layers[:index]):
                    data = layer.send(data)
            except (LayerClosed, LayerError):       # a layer that never got ready has nothing to end
                return
            if data:
                self._write(data)

    def _lose(self, text: str) -> None:
        if not self._closed:
            closing = self._closing
            self._pump_quietly()
            self._shut()
            if not closing:
                self._user.link_lost(text)

    def _pump_quietly(self) -> None:
        """A failed handshake leaves an alert that tells the peer why: worth one attempt."""
        if not self._ready and not self._queue:
            try:
                self._pump()
            except (LayerClosed, LayerError):
                return

    def _shut(self) -> None:
        if not self._closed:
            self._closed = True
            self._queue.clear()
            self._poller.readable(self._sock.fileno(), None)
            self._poller.writable(self._sock.fileno(), None)
            self._sock.close()
