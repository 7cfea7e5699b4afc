"""The last word to a caller that can't be served: a 503 that says why, where HTTP is spoken. Called by `inbound`."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from agent.hearing import hear
from interceptor.tunnel.poller import Poller, Timer
from interceptor.tunnel.relay import reset

FIRST_WORDS = 1.0  # seconds for a caller to say what it speaks: its request may be on its way
LINGER = 2.0  # seconds for it to read the answer
AGAIN = 0.05
_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"CONNECT ", b"TRACE ")
_PREFACE = b"PRI * HTTP/2.0"
_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
_INTERNAL_ERROR = 2


class Refusal:
    """Hears how the caller begins, answers, then waits until it has read that: closing at once would reset it away."""

    def __init__(self, poller: Poller, sock: socket.socket, text: str, ended: Callable[[Refusal], None]) -> None:
        self._poller = poller
        self._sock = sock
        self._text = text
        self._ended = ended
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin; `ended` may be called before this returns."""
        self._timer = self._poller.call_later(FIRST_WORDS, self._reset)
        self._poller.readable(self._sock.fileno(), self._hear)

    def _hear(self) -> None:
        try:
            opening = self._sock.recv(len(_PREFACE), socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # the caller is gone: nobody is left to tell
            self._reset()
            return
        answer = _answer(opening, self._text)
        if not answer and opening and _may_become_http(opening):
            # Level-triggered: what is peeked at is reported again and again. One short look later is enough.
            self._poller.readable(self._sock.fileno(), None)
            self._poller.call_later(AGAIN, self._hear_again)
            return
        try:
            if answer:
                self._sock.send(answer)
                self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            answer = b""
        if not answer:
            self._reset()
            return
        assert self._timer is not None
        self._timer.cancel()
        self._timer = self._poller.call_later(LINGER, self._end)
        self._poller.readable(self._sock.fileno(), self._discard)

    def _hear_again(self) -> None:
        if self._sock.fileno() >= 0:
            self._poller.readable(self._sock.fileno(), self._hear)

    def _reset(self) -> None:
        """Not HTTP, or nothing at all: a reset says that it failed, an end of file might pass for an empty answer."""
        assert self._timer is not None
        self._timer.cancel()
        self._poller.readable(self._sock.fileno(), None)
        reset(self._sock)
        self._ended(self)

    def _discard(self) -> None:
        if hear(self._sock, 65536) == b"":
            self._end()

    def _end(self) -> None:
        assert self._timer is not None
        self._timer.cancel()
        self._poller.readable(self._sock.fileno(), None)
        self._sock.close()
        self._ended(self)


def _may_become_http(opening: bytes) -> bool:
    return any(begin.startswith(opening) for begin in (*_METHODS, _PREFACE))


def _answer(opening: bytes, text: str) -> bytes:
    """What a caller that began like this understands; empty if that is not HTTP."""
    body = f"interceptor: {text}\n".encode()
    if opening.startswith(_METHODS):
        return (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Retry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
    if opening == _PREFACE:  # HTTP/2 and gRPC: GOAWAY before any stream, so that the caller may retry safely
        goaway = struct.pack(">II", 0, _INTERNAL_ERROR) + body
        return _SETTINGS + struct.pack(">I", len(goaway))[1:] + b"\x07\0\0\0\0\0" + goaway
    return b""
