"""Restores the workload when the client is gone; every replica's agent runs one. Started by `__main__`.

`watchdog` decides, this looks and acts: read the Lease about once a second while no tunnel is up; when the client counts
as gone, undo the swap (the same `swap.restore` that the client uses). Then `release` hands the callers who wait over to
the restored pods and deletes what the session owns, this guard's rights too. A write that meets another's is repeated on
fresh state, so that several agents and the client may all try.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, NamedTuple

from agent.api import Api, ApiError
from agent.config import Config
from agent.handwork import Handwork
from agent.journal import say
from agent.release import Release
from agent.watchdog import Watchdog
from agent.workers import Workers
from interceptor.tunnel.poller import Poller, Timer
from interceptor.wire.reasons import Reason

ATTEMPTS = 8
TRY_AGAIN = 1.0


class Outcome(Enum):
    """What a look found."""

    HELD = auto()
    UNSEEN = auto()
    ENDED = auto()  # the Lease is gone
    RESTORED = auto()  # the swap is gone


class Look(NamedTuple):
    """One look at the Lease."""

    outcome: Outcome
    text: str = ""  # holder and renewTime, or the reason
    lasts: float = 0.0
    age: float = 0.0  # for how long nobody had written it, by the API server's clock


class Guard:
    """Watches while no tunnel is up."""

    def __init__(
        self, poller: Poller, workers: Workers, config: Config, hand_over: Callable[[list[str]], None]
    ) -> None:
        self._poller = poller
        self._workers = workers
        self._config = config
        self._api = Api(config.folder)
        self._watchdog = Watchdog(config.lost_after, config.silent_after)
        self._handwork = Handwork(self._api, config)
        self._release = Release(poller, workers, config, self._api, self._handwork, hand_over)
        self._looking = False
        self._just_lost = False
        self._timer: Timer | None = None
        self._over = False
        self.on_restored: Callable[[], None] = lambda: None

    @property
    def busy(self) -> bool:
        """Whether something is being read or written on which the end of the session depends."""
        return self._looking or self._release.under_way

    @property
    def state(self) -> str:
        """In a word, for `interceptor status`."""
        if not self._config.guard:
            return "off"
        if self._release.under_way:
            return "restored"
        return "watching" if self._watchdog.watching else "idle"

    @property
    def unneeded(self) -> bool:
        """Whether this pod has to look ready although nobody serves its callers any more.

        An ordered StatefulSet exchanges no pod while another is not ready, ours that never had a client among them. They
        are gone as soon as it goes on; callers who come meanwhile are handed over, or wait.
        """
        return self._over and self._config.kind == "StatefulSet"

    def start(self) -> None:
        """Begin; how long the client has for its first tunnel, the Lease says."""
        if self._config.guard:
            self._look()

    def tunnel(self, up: bool, reason: Reason) -> None:
        """A tunnel came or ended."""
        self._watchdog.tunnel(up, reason)
        self._just_lost = not up
        if self._config.guard and not up:
            self._look()

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()  # a tunnel that came and went has begun a look of its own
            self._timer = None
        if self._watchdog.watching and not self._looking:
            self._looking = True
            lost, self._just_lost = self._just_lost, False
            self._workers.run(functools.partial(self._read, lost), functools.partial(self._looked, lost))

    def _read(self, just_lost: bool) -> Look:
        try:
            if just_lost and (back := self._taken_back()) is not None:
                return back
            lease, age = self._api.get_aged(self._config.lease)
            spec = lease.get("spec") or {}
            holder = str(spec.get("holderIdentity", ""))
            if not holder.endswith("/" + self._config.session):
                # Somebody takes the workload over: they restore it first. Should they die before they have, we do.
                say("another session holds the workload")
                if self._swapped() is None:
                    return Look(Outcome.RESTORED)
        except ApiError as error:
            if error.status == 404:
                return Look(Outcome.ENDED, "the session's Lease is gone")
            say(f"the Lease can't be read: {error}")
            return Look(Outcome.UNSEEN)
        except OSError as error:
            say(f"the API server can't be reached: {error}")
            return Look(Outcome.UNSEEN)
        lasts = float(spec.get("leaseDurationSeconds") or self._config.silent_after)
        return Look(Outcome.HELD, f"{holder} {spec.get('renewTime')}", lasts, age)

    def _looked(self, just_lost: bool, look: Look | None, error: Exception | None) -> None:
        self._looking = False
        if error is not None:
            raise error
        assert look is not None
        if not self._watchdog.watching:
            return
        if look.outcome is Outcome.RESTORED:
            self._restored("the workload is restored already")
        elif look.outcome is Outcome.ENDED:
            self._restore(look.text)
        elif look.outcome is Outcome.UNSEEN:
            self._just_lost = self._just_lost or just_lost
            self._watchdog.unseen()
            self._look_later(self._watchdog.pause)
        elif self._watchdog.seen(look.text, look.lasts, self._poller.now(), look.age):
            self._restore(f"{self._config.holder} is gone")
        else:
            self._look_later(self._watchdog.pause)

    def _look_later(self, seconds: float) -> None:
        self._timer = self._poller.call_later(seconds, self._look)

    def _restore(self, why: str) -> None:
        say(f"{why}: restoring the workload")
        self._looking = True
        self._workers.run(self._undo, self._undone)

    def _taken_back(self) -> Look | None:
        """Whether the client had taken the swap back when its tunnel ended: then there is nothing to wait for.

        All of it: only its objects are left. Or all but the record, between its two writes: the restored pods come up by
        now and end this one, so whoever waited for the Lease would be gone before it is silent. A client that lives does
        the same, and finds done what was done here.
        """
        from interceptor.swap import taken_back  # noqa: PLC0415  see `_undo`
        from interceptor.swap.pod import carried  # noqa: PLC0415

        found = self._swapped()
        if found is None:
            return Look(Outcome.RESTORED)
        if carried(found) is None and taken_back(found):
            return Look(Outcome.ENDED, f"{self._config.holder} ended while taking the swap back")
        return None

    def _swapped(self) -> dict[str, Any] | None:
        """The workload if it carries this session's swap."""
        from interceptor.swap import record_of  # noqa: PLC0415  see `_undo`

        try:
            found = self._api.get(self._config.workload)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        record = record_of(found)
        return found if record is not None and record.session == self._config.session else None

    def _undo(self) -> None:
        """Restore the workload; OSError and ApiError mean: try again."""
        # Needed once, at the end: imported here, a fifth less of the pod's start (a zipapp is compiled each time).
        from interceptor.swap import first_write, json_patch, precondition, record_of, restore  # noqa: PLC0415
        from interceptor.swap.pod import carried  # noqa: PLC0415

        def write(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
            version = found["metadata"]["resourceVersion"]
            return self._api.patch(self._config.workload, [precondition(version), *json_patch(found, wanted)])

        for _ in range(ATTEMPTS):
            try:
                workload = self._api.get(self._config.workload)
                pod = carried(workload)
                if pod is not None:
                    self._handwork.bring_back(pod)
                    return
                record = record_of(workload)
                if record is not None and record.session == self._config.session:
                    first = first_write(workload)
                    if first is not None:
                        workload = write(workload, first)
                    write(workload, restore(workload).workload)
                return
            except ApiError as error:
                if error.status == 404:
                    return
                if error.status != 409:
                    raise
        raise OSError("the workload changes faster than it can be restored")

    def _undone(self, _: Any, error: Exception | None) -> None:
        self._looking = False
        if error is None:
            self._restored("the workload is restored")
        elif isinstance(error, (ApiError, OSError)):
            say(f"restoring failed, trying again: {error}")
            self._look_later(TRY_AGAIN)
        else:
            raise error

    def _restored(self, text: str) -> None:
        say(text)
        self._watchdog.retire()
        self._over = True
        self.on_restored()
        self._release.begin()
