"""When a bulk stream leaves the path to others: while small messages pass too, it takes a share of it. Pure; `mux` asks.

The pace bounds what lies in queues, but each 64 KiB still occupies every hop for a while (a millisecond and a half through
API server, kubelet and runtime on two cores), and a small request that comes just then waits: 7 times its usual latency
was measured beside one bulk that took all it could get. So while others talk, a bulk leaves the path alone for three times
as long as its last message occupied it. Nobody else there, or all of them bulk: it takes everything.
"""

from __future__ import annotations

BULK = 512 * 1024  # bytes one way without a word the other way: an answer shorter than this is nobody's bulk
SMALL = 4096  # what waits for an answer is shorter: a request, a response, a row
PRESENT = 0.1  # seconds after a small message within which another is expected
SHARE = 0.25  # of the path's time
LONGEST = 0.05  # seconds between two messages of a bulk: slow, never stopped
MEASURED = 8  # each so-manieth message is timed; that costs a message there and one back


class Courtesy:
    """One direction of one tunnel; seconds by any steady clock."""

    def __init__(self) -> None:
        self.others_at = float("-inf")  # when a small message last passed; whoever sends one writes it
        self._free_at = float("-inf")  # when the next message of a bulk may go
        self._count = 0

    def wait(self, now: float) -> float:
        """Seconds that a bulk stream has to wait before it sends more."""
        return self._free_at - now if now - self.others_at < PRESENT else 0.0

    def sent(self, size: int, cost: float, now: float) -> bool:
        """Count a message of a bulk; `cost` is how many seconds of the path's time a byte takes. True: have it timed."""
        if now - self.others_at >= PRESENT:
            return False
        self._free_at = max(self._free_at, now) + min(LONGEST, size * cost / SHARE)
        self._count += 1
        return self._count % MEASURED == 1
