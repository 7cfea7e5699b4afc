"""The last word to a caller that can't be served: a 503 that says why, where HTTP is spoken. Called by `inbound`."""

from __future__ import annotations

import socket
import struct

from interceptor.tunnel.poller import Poller, Timer

LINGER = 2.0
_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"CONNECT ", b"TRACE ")
_PREFACE = b"PRI * HTTP/2.0"
_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
_INTERNAL_ERROR = 2


class Refusal:
    """Answers, then waits until the caller has read it: closing at once would reset the answer away."""

    def __init__(self, poller: Poller, sock: socket.socket, text: str) -> None:
        self._poller = poller
        self._sock = sock
        answer = _answer(_peek(sock), text)
        try:
            if answer:
                sock.send(answer)
                sock.shutdown(socket.SHUT_WR)
        except OSError:             # the caller is gone: nobody is left to tell
            answer = b""
        if answer:
            self._timer: Timer = poller.call_later(LINGER, self._end)
            poller.readable(sock.fileno(), self._discard)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    def _discard(self) -> None:
        try:
            over = not self._sock.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            over = True
        if over:
            self._timer.cancel()
            self._end()

    def _end(self) -> None:
        self._poller.readable(self._sock.fileno(), None)
        self._sock.close()


def _peek(sock: socket.socket) -> bytes:
    try:
        return sock.recv(len(_PREFACE), socket.MSG_PEEK)
    except OSError:                 # nothing sent yet, or gone
        return b""


def _answer(opening: bytes, text: str) -> bytes:
    """What a caller that began like this understands; empty if that is not HTTP."""
    body = f"interceptor: {text}\n".encode()
    if opening.startswith(_METHODS):
        return (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Retry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
    if opening == _PREFACE:         # HTTP/2 and gRPC: GOAWAY before any stream, so that the caller may retry safely
        goaway = struct.pack(">II", 0, _INTERNAL_ERROR) + body
        return _SETTINGS + struct.pack(">I", len(goaway))[1:] + b"\x07\0\0\0\0\0" + goaway
    return b""
