"""Keeps the beginning of a body for whoever asked for it (`tap --record`); `http1` and `http2` fill it."""

from __future__ import annotations

from interceptor.http.exchange import Data


class Keeper:
    """Called with each piece; keeps at most so much."""

    __slots__ = ("_kept", "_most")

    def __init__(self, kept: bytearray, most: int) -> None:
        self._kept, self._most = kept, most

    def __call__(self, data: Data) -> None:
        """Keep what there is room for."""
        room = self._most - len(self._kept)
        if room > 0:
            self._kept += data[:room]
