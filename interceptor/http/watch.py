"""One relayed connection as seen from beside it: finds out the protocol and follows it. Whoever relays the bytes calls it.

    watch = Watch(listener)
    watch.requested(data, now)     # bytes that the caller sent, as they pass
    watch.responded(data, now)     # bytes that the server sent
    watch.request_side_ended(now), watch.response_side_ended(now), watch.closed(now)

None of them raises, keeps `data`, or changes it: whatever the bytes are, relaying goes on. The time is the caller's own,
in seconds, never running backwards.
"""

from __future__ import annotations

import logging

from interceptor.http.exchange import Data, Listener, Unreadable
from interceptor.http.http1 import Http1
from interceptor.http.http2 import PREFACE, Http2

_log = logging.getLogger(__name__)

MOST_EARLY = 4096  # bytes that a server may have sent before its caller said anything
# The header of a SETTINGS frame: its length, below 64 KiB, its kind, no flags, no stream. -1: any byte.
SETTINGS = (0, -1, -1, 4, 0, 0, 0, 0, 0)


class Watch:
    """Feeds the parser of the protocol that the connection speaks, until it can't be read."""

    __slots__ = ("_early", "_first", "_known", "_listener", "_parser", "_preface", "opaque")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._first = b""  # the beginning, while it may still become HTTP/2's preface
        self._early = b""  # what the server said before the caller, while it may be an HTTP/2 server's settings
        self._known = False  # which protocol it is
        self._preface = False  # HTTP/2 by upgrade: the caller's preface is still to come
        self._parser: Http1 | Http2 | None = Http1(listener)
        self.opaque = ""  # why it can't be read; "" while it can

    def requested(self, data: Data, now: float) -> None:
        """Bytes from the caller, at least one."""
        parser = self._parser
        if parser is None:
            return
        try:
            if self._known:
                parser.requested(data, now)
            else:
                self._begin(data, now)
        except Exception as error:  # whatever it is, the bytes go on
            self._give_up(error, now)

    def responded(self, data: Data, now: float) -> None:
        """Bytes from the server, at least one."""
        parser = self._parser
        if parser is None:
            return
        try:
            if not self._known and type(parser) is Http1:
                data = self._hold_early(data)
                if not data:
                    return
            if parser.responded(data, now):
                assert type(parser) is Http1
                self._switch(parser, now)
        except Exception as error:  # whatever it is, the bytes go on
            self._give_up(error, now)

    def request_side_ended(self, now: float) -> None:
        """The caller will send no more."""
        if self._parser is not None:
            self._parser.request_side_ended(now)

    def response_side_ended(self, now: float) -> None:
        """The server will send no more."""
        self._tell_early(now)
        if self._parser is not None:
            self._parser.response_side_ended(now)

    def closed(self, now: float) -> None:
        """The connection is over: what is still under way is told as cancelled."""
        self._tell_early(now)
        if self._parser is not None:
            parser, self._parser = self._parser, None
            parser.cut(now)

    def missed(self, now: float) -> None:
        """Bytes have passed that nobody showed us: what is under way can't be told, nor what follows."""
        self._give_up(Unreadable("some of its bytes were not seen"), now)

    def _hold_early(self, data: Data) -> Data:
        """Keep what may be HTTP/2's first frames: its server need not wait for the caller's preface (RFC 9113, 3.4).

        Returns what else it is, for the parser.
        """
        early = self._early + bytes(data)
        if len(early) <= MOST_EARLY and all(
            got == want for got, want in zip(early, SETTINGS, strict=False) if want >= 0
        ):
            self._early = early
            return b""
        self._early = b""
        return early

    def _tell_early(self, now: float) -> None:
        """There was never a caller's byte: a server that speaks first, of whatever protocol."""
        if self._early and self._parser is not None:
            self._give_up(Unreadable("the server spoke first"), now)

    def _begin(self, data: Data, now: float) -> None:
        """Tell HTTP/2 with prior knowledge from HTTP/1 by its preface."""
        assert self._parser is not None
        if not data:
            return
        size = len(PREFACE)
        if not self._first and not self._preface and data[0] != PREFACE[0]:
            self._known = True
            if self._early:
                raise Unreadable("the server spoke first")
            self._parser.requested(data, now)
            return
        taken = size - len(self._first)
        first = self._first + bytes(data[:taken])
        if first == PREFACE:
            if not self._preface:
                self._parser = Http2(self._listener)
            self._first, self._preface, self._known = b"", False, True
            if self._early:
                early, self._early = self._early, b""
                self._parser.responded(early, now)
            if len(data) > taken:
                self._parser.requested(data[taken:], now)
        elif PREFACE.startswith(first):
            self._first = first
        elif self._preface:
            raise Unreadable("HTTP/2 without its preface")
        else:
            self._first, self._known = b"", True
            if self._early:
                raise Unreadable("the server spoke first")
            self._parser.requested(memoryview(first + bytes(data[taken:])), now)

    def _switch(self, parser: Http1, now: float) -> None:
        requests, answers = parser.left_over()
        self._parser, self._preface, self._known = Http2(self._listener, parser.switched), True, False
        if requests:
            self._begin(memoryview(requests), now)
        if answers:
            self._parser.responded(memoryview(answers), now)

    def _give_up(self, error: Exception, now: float) -> None:
        parser, self._parser = self._parser, None
        self._first = self._early = b""
        if isinstance(error, Unreadable):
            self.opaque = str(error)
        else:
            self.opaque = f"internal error: {error!r}"
            _log.error("%s while watching a connection", self.opaque, exc_info=error)
        if parser is not None:
            parser.cut(now, unreadable=self.opaque)
        self._listener.opaque(self.opaque)
