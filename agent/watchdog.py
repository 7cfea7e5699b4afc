"""Decides when the client counts as gone: pure, fed by `guard` with what it sees. No clock of its own, no I/O.

Two ways to be gone. *Lost*: the tunnel ended without a goodbye, as it does within a second of the client's death; then
the Lease gets `lost_after` seconds to move. *Silent*: nothing ended (a lid was closed, a cable pulled), or no tunnel ever
came; then it gets as long as the Lease itself says, `silent_after` at most; the time for which the tunnel was quiet
counts. Only time in which the API server answered counts: while it does not, the client can't renew either. A Lease that
moved after the loss proves the client alive: from then on the long time holds.

How long a Lease says: 2 s until the client is connected to its first agent, 15 s from then on. A client that dies between
the swap and its first tunnel has nobody who could see it die; the first agent that starts finds a Lease that does not
move and can't tell for how long it hasn't. With 15 s the template would stay swapped for that long. 2 s are enough there:
a client that lives renews such a short Lease twice a second and reaches an agent within half a second of its start. And
little is lost if a slow one is hit: nothing was served here yet, the old pods still answer every caller, the client says
what happened and can be started again. Later, with requests under way, patience costs less than a mistake.

What the Lease did before the first look counts too, as far as the API server's own clock tells it (`age`; no other clock is
asked, theirs may be an hour off): an agent that needs two seconds to start has not lost them. Half of the time must be seen
all the same: so long a client that lives has to renew after whatever kept it, and an API server that was away itself
proves nothing: from the first look that it did not answer, only what is seen counts.
"""

from __future__ import annotations

from interceptor.tunnel.mux import SILENCE
from interceptor.wire.reasons import Reason

LONGEST_STEP = 2.0  # seconds that one look at the Lease may count for ...
FEWEST_LOOKS = 4  # ... and that many must have found it unmoved: one long pause of ours is no silence of the client's


class Watchdog:
    """`seen` and `unseen` are called every `pause` seconds while no tunnel is up."""

    def __init__(self, lost_after: float, silent_after: float) -> None:
        self._lost_after, self._silent_after = lost_after, silent_after
        self._patience = self._lasts = silent_after
        self._connected = False
        self._retired = False
        self._renewed: str | None = None  # the Lease's renewTime, as text: clocks are not compared
        self._last_look: float | None = None
        self._still = 0.0  # seconds for which the Lease did not move
        self._answered = True  # the API server, each time since the tunnel's end

    @property
    def watching(self) -> bool:
        """Whether the Lease is to be looked at."""
        return not self._connected and not self._retired

    @property
    def pause(self) -> float:
        """Seconds until the next look: often enough that each counts in full."""
        return min(0.5, self._due / FEWEST_LOOKS / 2)

    @property
    def _due(self) -> float:
        """Seconds without a move that count as gone."""
        return min(self._patience, self._lasts)

    def tunnel(self, up: bool, reason: Reason) -> None:
        """A tunnel came or ended."""
        self._connected = up
        self._renewed, self._last_look, self._still, self._answered = None, None, 0.0, True
        if up:
            self._patience = self._silent_after
        elif reason is Reason.GOODBYE:
            self._retired = True  # in order: the client has restored everything itself
        elif reason is Reason.SILENCE:
            # It did not end, it went quiet: not a death, perhaps a journey. The quiet counts; half must still be seen.
            self._patience = max(self._silent_after - SILENCE, self._silent_after / 2)
        else:
            self._patience = self._lost_after

    def retire(self) -> None:
        """Somebody else holds the workload now, or it is restored."""
        self._retired = True

    def unseen(self) -> None:
        """The API server did not answer: this time counts for nothing."""
        self._last_look = None
        self._answered = False

    def seen(self, renewed: str, lasts: float, now: float, age: float = 0.0) -> bool:
        """The Lease says `renewed`, and how long it `lasts`; True when the client is gone.

        `age`: for how long at least nobody had written it when it was read.
        """
        moved = renewed != self._renewed
        if moved and self._renewed is not None:
            self._patience = self._silent_after
        self._lasts = lasts
        if moved:
            self._still = min(age, self._due / 2) if self._renewed is None and self._answered else 0.0
            self._renewed = renewed
        elif self._last_look is not None:
            self._still += min(now - self._last_look, LONGEST_STEP, self._due / FEWEST_LOOKS)
        self._last_look = now
        return self.watching and self._still >= self._due
