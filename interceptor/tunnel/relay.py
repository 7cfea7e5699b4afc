"""One stream and one local socket: copies bytes both ways, carries half-close and reset. `mux` makes and feeds it.

A relay may exist before its socket (the local dial still runs): what arrives is held, at most a window. It may outlive
its stream: the last bytes still drain into the socket. Small reads are copied into the next batch of frames; large ones
go out from the shared buffer they were read into, with the header packed in front of them.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from interceptor.tunnel.courtesy import BULK, SMALL
from interceptor.wire.frames import MAX_PAYLOAD
from interceptor.wire.reasons import Reason

if TYPE_CHECKING:
    from interceptor.tunnel.mux import Mux
    from interceptor.tunnel.observer import Observer
    from interceptor.wire.stream import Stream

BURST = 16 * 1024  # what a stream may send between two pongs whatever a bulk beside it has on its way
DIRECT = 32 * 1024  # reads from here on go out at once, smaller ones wait for company until the end of the pass
BATCH = 48 * 1024  # more than this does not wait
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Refused = Callable[["Relay", Reason, str], None]


class RelayUser(Protocol):
    """Who has a stream's bytes for himself, in place of a local socket: `datagrams`."""

    def relay_received(self, data: bytes | memoryview) -> None:
        """Bytes of the stream; a view is valid until this returns."""

    def relay_writable(self) -> None:
        """What `say` did not take may be said again."""


class Relay:
    """One stream's end in this process."""

    __slots__ = (
        "_burst",
        "_deaf",
        "_ended",
        "_mux",
        "_queue",
        "_reading",
        "_round",
        "_sent_end",
        "_shut",
        "_streak",
        "_stream",
        "_unsent",
        "_user",
        "_writing",
        "accepted",
        "answered",
        "asking",
        "finished",
        "moved",
        "number",
        "observer",
        "on_accepted",
        "on_finished",
        "on_refused",
        "queued",
        "sock",
    )

    def __init__(self, mux: Mux, stream: Stream) -> None:
        self._mux = mux
        self._stream = stream
        self.number = stream.number
        self.sock: socket.socket | None = None
        self.accepted = False  # the far end is connected (or, for the peer's streams, we said so)
        self.answered = False  # bytes of the far end have been written to our socket
        self.finished = False
        self.queued = 0  # bytes held for our socket
        self.moved = 0  # counts up with every read and write: an observer sees who is idle
        self.asking = False  # the last bytes came from our socket: it waits for an answer
        self.observer: Observer | None = None  # told of bytes once they are on their way
        self.on_accepted: Callable[[Relay], None] | None = None
        self.on_refused: Refused | None = None  # told instead of resetting the socket, before the first answer byte
        self.on_finished: Callable[[Relay], None] | None = None
        self._round = 0
        self._burst = 0  # bytes sent in this round of the mux
        self._streak = 0  # bytes read from our socket since it was last written to
        self._queue: deque[bytes] = deque()
        self._unsent = b""  # read from the socket by somebody else before we got it
        self._reading = False
        self._writing = False  # whether the rest of `_queue` waits for our socket
        self._ended = False  # the peer's END is in
        self._sent_end = False
        self._shut = False  # our socket's write side is shut
        self._deaf = ""  # why our socket takes no more; what it said before is still read
        self._user: RelayUser | None = None  # in place of a socket

    def attach(self, sock: socket.socket, early: bytes = b"") -> None:
        """Take over a connected non-blocking socket; `early` was already read from it."""
        if self.finished:
            reset(sock)
            return
        self.sock = sock
        self._unsent = early
        if self._queue or self._ended:
            self._drain()
        if not self.finished:
            self.resume()

    def end(self) -> None:
        """Half-close towards the peer: nothing more is read from our socket."""
        if not self._sent_end:
            self._sent_end = True
            self._pause()
            self._mux.connection.end(self.number)
            self._mux.flush_soon()
            if self.observer is not None:
                self.observer.socket_ended()
            self._settle()

    def reset(self, reason: Reason, text: str = "") -> None:
        """End both sides now: RESET to the peer, a TCP reset to the socket."""
        if not self.finished:
            self._mux.connection.reset(self.number, reason, text)
            self._mux.flush_soon()
            self._finish(broken=True)

    # --- our socket -> the stream ----------------------------------------------------------------------------

    def resume(self) -> None:
        """Read from the socket again (credit came, or the link drained)."""
        if self.sock is not None and not (self._reading or self._sent_end):
            self._reading = True
            self._mux.poller.readable(self.sock.fileno(), self._readable)
            if self._unsent:
                self._mux.poller.call_soon(self._readable)
        elif self._user is not None:
            self._user.relay_writable()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            if self.sock is not None:
                self._mux.poller.readable(self.sock.fileno(), None)

    def _wait_to_write(self, wanted: bool) -> None:
        if self._writing is not wanted and self.sock is not None:
            self._writing = wanted
            self._mux.poller.writable(self.sock.fileno(), self._drain if wanted else None)

    def _readable(self) -> None:
        mux = self._mux
        if self.sock is None or not self._reading:
            return
        if mux.full:
            self._pause()
            mux.wait_for_link(self)
            return
        stream = self._stream
        allowed = stream.credit if stream.sends_data else 0
        if not allowed:
            self._pause()
            return
        paced = mux.pace.full
        if paced:
            if self._round != mux.round:
                self._round, self._burst = mux.round, 0
            allowed = min(allowed, BURST - self._burst)
            if allowed <= 0:
                self._pause()
                mux.wait_for_pace(self)
                return
        if self._streak > BULK and mux.others_come_first(self):
            self._pause()
            return
        if self._unsent:
            self._send_early(min(allowed, MAX_PAYLOAD))
            return
        try:
            # One message with what is queued already: each costs three programs on its way a wake-up.
            size = self.sock.recv_into(mux.payload, min(allowed, mux.room()))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.reset(Reason.BROKEN, error.strerror or str(error))
            return
        if not size:
            self._heard_all()
            return
        self.moved += 1
        if paced:
            self._burst += size
        self.asking = True
        self._streak = streak = self._streak + size
        if streak <= SMALL:
            mux.courtesy.others_at = mux.poller.now()
        if size < DIRECT:
            connection = mux.connection
            connection.send(self.number, mux.payload[:size])
            if connection.waiting > BATCH:
                mux.flush()
            else:
                mux.flush_soon()
        else:
            mux.send_direct(self.number, size)
        if streak > BULK:
            mux.bulk_sent(size)
        if self.observer is not None:
            self.observer.from_socket(mux.payload[:size])

    def _heard_all(self) -> None:
        if self._deaf:
            self.reset(Reason.BROKEN, self._deaf)
        else:
            self.end()

    def _send_early(self, allowed: int) -> None:
        """Send what somebody else had read from our socket."""
        mux = self._mux
        part, self._unsent = self._unsent[:allowed], self._unsent[allowed:]
        mux.connection.send(self.number, part)
        mux.flush_soon()
        if self.observer is not None:
            self.observer.from_socket(memoryview(part))
        if self._unsent:
            mux.poller.call_soon(self._readable)

    # --- no socket -------------------------------------------------------------------------------------------

    def serve(self, user: RelayUser) -> None:
        """Give the stream's bytes to `user` from now on, those that have come already first."""
        self._user = user
        while self._queue and not self.finished:
            part = self._queue.popleft()
            self._mux.release(self, len(part))
            user.relay_received(part)
        if self._ended and not self.finished:
            self.reset(Reason.CANCELLED)

    def say(self, data: bytes) -> int:
        """Send as much of `data` as one frame may carry now; returns how much that was. After 0 the user is told to go on."""
        mux = self._mux
        if self.finished:
            return len(data)  # nobody hears it
        if mux.full:
            mux.wait_for_link(self)
            return 0
        if self._streak > BULK and mux.others_come_first(self):
            return 0
        allowed = min(len(data), self._stream.credit, MAX_PAYLOAD)  # its coming is told
        if mux.pace.full:
            if self._round != mux.round:
                self._round, self._burst = mux.round, 0
            allowed = min(allowed, BURST - self._burst)
            self._burst += allowed
            if self._burst == BURST:
                mux.wait_for_pace(self)
        if not allowed:
            return 0
        self._streak = streak = self._streak + allowed
        if streak <= SMALL:
            mux.courtesy.others_at = mux.poller.now()
        mux.connection.send(self.number, data[:allowed])
        if mux.connection.waiting > BATCH:
            mux.flush()
        else:
            mux.flush_soon()
        if streak > BULK:
            mux.bulk_sent(allowed)
        return allowed

    # --- the stream -> our socket ----------------------------------------------------------------------------

    def stream_accepted(self) -> None:
        """The far end is connected."""
        self.accepted = True
        if self.on_accepted is not None:
            self.on_accepted(self)

    def stream_received(self, parts: list[memoryview]) -> None:
        """Bytes for our socket, as they came; the views are valid until this returns."""
        mux = self._mux
        only = len(parts) == 1
        size = len(parts[0]) if only else sum(map(len, parts))
        sent = 0
        if self._deaf:
            sent = size
        elif self.sock is not None and not self._queue:
            try:
                sent = self.sock.send(parts[0]) if only else self.sock.sendmsg(parts)
                self.answered = True
                self.asking = False
                self.moved += 1
                self._streak = 0
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._broke(error)
                sent = size
        elif self._user is not None:
            sent = size
            self._streak = 0
            for part in parts:
                self._user.relay_received(part)
        if sent and mux.connection.consumed(self.number, sent):
            mux.flush_soon()
        if sent < size:
            self._queue.append(b"".join(parts)[sent:])
            if not mux.hold(self, size - sent):
                return
            self._wait_to_write(True)
        if self.observer is not None and not self.finished:
            for part in parts:
                self.observer.to_socket(part)

    def stream_ended(self) -> None:
        """The peer half-closed: shut our socket's write side once all is written."""
        self._ended = True
        if self.observer is not None:
            self.observer.peer_ended()
        if self._user is not None:
            self.reset(Reason.CANCELLED)
        elif not self._queue:
            self._drain()

    def stream_reset(self, reason: Reason, text: str) -> None:
        """The stream is over: whoever waits for an answer is told, else the socket is reset like the far one was."""
        if self.on_refused is not None and not self.answered:
            self.on_refused(self, reason, text)
        if self._ended and self._queue and (self.sock is not None or self.accepted):
            self._sent_end = True  # nobody hears us, but what was said to its end is delivered
            self._pause()
        else:
            self._finish(broken=not self._ended)

    def _drain(self) -> None:
        if self.sock is None:
            return
        try:
            while self._queue:
                part = self._queue[0]
                sent = self.sock.send(part)
                self.answered = True
                self.asking = False
                self.moved += 1
                self._streak = 0
                if sent < len(part):
                    self._queue[0] = part[sent:]
                else:
                    self._queue.popleft()
                self._mux.release(self, sent)
                if sent < len(part):
                    raise BlockingIOError
        except (BlockingIOError, InterruptedError):
            self._wait_to_write(True)
            return
        except OSError as error:
            self._broke(error)
            return
        self._wait_to_write(False)
        if self._ended and not self._shut:
            self._shut = True
            if not self._is_over:  # else closing says it too
                with contextlib.suppress(OSError):  # the caller is gone already; reading will say so
                    self.sock.shutdown(socket.SHUT_WR)
        self._settle()

    def _broke(self, error: OSError) -> None:
        """Our socket takes no more. An answer given before it broke (413, and closed) may still lie in it unread."""
        self._deaf = error.strerror or str(error)
        self._queue.clear()
        if self.queued:
            self._mux.release(self, self.queued)
        if self._sent_end or self.sock is None:  # nothing more is read from it
            self.reset(Reason.BROKEN, self._deaf)
        else:
            self._wait_to_write(False)

    # --- the end ---------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Close when both directions are done."""
        if self._shut and self._is_over:
            self._finish()

    @property
    def _is_over(self) -> bool:
        return self.number not in self._mux.connection.streams

    def _finish(self, *, broken: bool = False) -> None:
        if self.finished:
            return
        self.finished = True
        self._mux.drop(self)
        self._queue.clear()
        self._pause()
        self._wait_to_write(False)
        sock, self.sock = self.sock, None
        if sock is not None:
            if broken:
                reset(sock)
            else:
                sock.close()
        if self.observer is not None:
            self.observer.finished()
        if self.on_finished is not None:
            self.on_finished(self)


def reset(sock: socket.socket) -> None:
    """Close so that the far side sees a reset, not an end of file."""
    with contextlib.suppress(OSError):  # not every socket kind lingers; a plain close then
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()
