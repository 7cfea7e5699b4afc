"""How much one tunnel may hold, in numbers that `connection` and its tests share."""

from __future__ import annotations

from typing import NamedTuple

from interceptor.wire.frames import MAX_PAYLOAD, Kind

LONGEST_PAYLOAD: dict[int, int] = {Kind.OPEN: 8192, Kind.CONTROL: MAX_PAYLOAD, Kind.HELLO: 8192}
"""Of frames that are gathered whole; DATA is not."""
OTHERS_LONGEST = 2048


class Limits(NamedTuple):
    """Bytes, except `streams`."""

    window: int = 256 * 1024  # a stream's first credit: enough for 1 ms at 250 MB/s
    largest_window: int = 4 * 1024 * 1024  # as much as one stream's pace asks for at 40 MB/s (`tunnel.pace.QUEUE`)
    # All growth above first windows together. The pace keeps 1 to 8 MiB on their way in a tunnel, whatever streams may.
    growth: int = 6 * 1024 * 1024
    streams: int = 20_000  # opened by the peer and alive at once
    control: int = 4 * 1024 * 1024  # one CONTROL message; an environment may hold 2 MB
    answers: int = 1024 * 1024  # PONG, ACCEPT and RESET that the peer makes us queue and does not read
