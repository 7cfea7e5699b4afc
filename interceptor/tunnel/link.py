"""One socket and its layers: hands decoded bytes up to `mux`, takes frames down. Knows nothing of frames.

Writing never blocks and never refuses: what the socket does not take at once waits in `backlog`. `mux` keeps that small
by not reading its local sockets while the link is `full`.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from interceptor.tunnel.poller import Poller
from interceptor.wire.layer import EMPTY, Buffer, Layer, LayerClosed, LayerError

READ_SIZE = 256 * 1024  # TLS wants at least this: 404 against 523 MB/s with 64 KiB (performance.md, 3)
FULL = 128 * 1024  # above it the link asks for no more data ...
DRAINED = 32 * 1024  # ... until below this
READS_A_TURN = 4  # then others get their turn
FAREWELL = 1.0  # seconds for the last bytes to leave and the peer to close


class LinkUser(Protocol):
    """Who a link serves: `mux`."""

    def link_ready(self) -> None:
        """Every layer's handshake is done."""

    def link_received(self, data: memoryview) -> None:
        """Decoded bytes; the view is valid until this returns."""

    def link_drained(self) -> None:
        """No longer full."""

    def link_lost(self, text: str) -> None:
        """The socket or a layer ended; called once, nothing follows. Not called for what `close` began."""

    def link_shut(self) -> None:
        """The socket was given back; called once, after a loss or `close`."""


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
        self._broken = ""  # why writing failed
        self.backlog = 0  # bytes accepted and not yet taken by the socket
        self.full = False
        self.received_at = poller.now()

    def start(self, early: bytes = b"") -> None:
        """Begin; `early` was read by whoever opened the socket, and decoded by those layers that are ready by now."""
        self._poller.readable(self._sock.fileno(), self._readable)
        data = memoryview(early)
        try:
            for layer in self._layers:
                if not layer.ready:
                    data = layer.receive(data)
            self._pump()
        except (LayerClosed, LayerError) as error:
            self._lose(str(error))
            return
        self._deliver(data)

    def send(self, data: Buffer) -> None:
        """Encode and write; a view's bytes may change as soon as this returns."""
        if self._closed or self._closing:
            return
        try:
            for layer in reversed(self._layers):
                data = layer.send(data)
        except (LayerClosed, LayerError) as error:
            self._lose(str(error))
            return
        self._write(data)

    def close(self, *, flush: bool = True) -> None:
        """End the link without telling its user. With `flush` what waits is written first, and the peer gets a chance
        to read it: closing a socket with unread bytes in it would reset the last frame away. A second at most.
        """
        if self._closed or self._closing:
            return
        self._closing = True
        if flush:
            self._farewell()
            self._linger()
        else:
            self._shut()

    def _linger(self) -> None:
        if self._closed:
            return
        self._poller.call_later(FAREWELL, self._shut)
        self._poller.readable(self._sock.fileno(), self._discard)
        if not self._queue:
            self._end_writing()

    def _end_writing(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:  # the peer was faster
            self._shut()

    def _discard(self) -> None:
        """What still comes once we have ended, until the peer has ended too."""
        try:
            over = not self._sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            over = True
        if over:
            self._shut()

    # --- reading ---------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        for _ in range(READS_A_TURN):
            try:
                size = self._sock.recv_into(self._buffer)
                data = self._decode(size)
            except (BlockingIOError, InterruptedError):
                return
            except (LayerClosed, LayerError) as error:
                self._lose(self._broken or str(error))
                return
            except OSError as error:
                self._lose(_broke(error))
                return
            self._deliver(data)
            if self._closed or self._closing or size < READ_SIZE // 2:
                return

    def _decode(self, size: int) -> memoryview:
        if not size:
            for layer in self._layers:  # one that ended behind data says so, with its reason, only now
                layer.receive(EMPTY)
            raise LayerClosed("the connection was closed")
        data = self._view[:size]
        for layer in self._layers:
            data = layer.receive(data)
        self._pump()
        return data

    def _deliver(self, data: memoryview) -> None:
        """What the user does with it is not our error: nothing is caught here."""
        if not self._ready and not self._closed and all(layer.ready for layer in self._layers):
            self._ready = True
            self._user.link_ready()
        if len(data) and not (self._closed or self._closing):
            self.received_at = self._poller.now()  # decoded bytes: a WebSocket's ping proves nothing of the pod
            self._user.link_received(data)

    def _pump(self) -> None:
        """Send what the layers themselves have to say (handshakes, pongs), each through those outside of it."""
        for index, own in enumerate(self._layers):
            data: Buffer = own.pending()
            if data:
                for layer in reversed(self._layers[:index]):
                    data = layer.send(data)
                self._write(data)
            if not own.ready:  # those inside of it can't speak yet
                return

    # --- writing ---------------------------------------------------------------------------------------------

    def _write(self, data: Buffer) -> None:
        if self._closed or self._broken:
            return
        sent = 0
        if not self._queue:
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, InterruptedError):
                pass  # all of it waits
            except OSError as error:
                self._mute(error)
                return
            if sent == len(data):
                return
        view = memoryview(data)[sent:]
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
            self._mute(error)
            return
        if not self._queue:
            self._writing = False
            self._poller.writable(self._sock.fileno(), None)
            if self._closing:
                self._end_writing()
                return
        if self.full and self.backlog < DRAINED and not self._closing:
            self.full = False
            self._user.link_drained()

    def _mute(self, error: OSError) -> None:
        """Writing failed, but the peer's last words may still be unread: reading finds them, and the end behind them."""
        self._broken = _broke(error)
        self._queue.clear()
        self.backlog = 0
        self._poller.writable(self._sock.fileno(), None)

    # --- the end ---------------------------------------------------------------------------------------------

    def _farewell(self) -> None:
        """Each layer's orderly end (close_notify, WebSocket close), through those below it."""
        ready = next((index for index, layer in enumerate(self._layers) if not layer.ready), len(self._layers))
        for index in range(ready - 1, -1, -1):
            try:
                data: Buffer = self._layers[index].close()
                for layer in reversed(self._layers[:index]):
                    data = layer.send(data)
            except (LayerClosed, LayerError):  # it has ended already
                return
            if data:
                self._write(data)

    def _lose(self, text: str) -> None:
        """The socket or a layer ended. An alert (why a handshake failed) still goes out to the peer."""
        told, self._closing = self._closing, True
        with contextlib.suppress(LayerClosed, LayerError):  # the layer that ended says so once more
            self._pump()
        if not told:
            self._user.link_lost(text)
        self._linger()

    def _shut(self) -> None:
        if not self._closed:
            self._closed = True
            self._queue.clear()
            self._poller.readable(self._sock.fileno(), None)
            self._poller.writable(self._sock.fileno(), None)
            self._sock.close()
            # Half a megabyte of buffers: strangers who come and go quickly would have left them to the garbage
            # collector by the hundred, as an ended link is part of a cycle.
            self._layers = ()
            self._buffer = bytearray()
            self._view = EMPTY
            self._user.link_shut()


def _broke(error: OSError) -> str:
    return f"the connection broke ({error.strerror or error})"
