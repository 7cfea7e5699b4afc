"""Restores the workload when the client is gone; every replica's agent runs one. Started by `__main__`.

`watchdog` decides, this looks and acts: read the Lease about once a second while no tunnel is up; when the client counts
as gone, undo the swap (the same `swap.restore` that the client uses), hand the callers who wait over to the restored pods,
and delete the session object, which takes the rest along, this guard's rights too. A write that meets another's is repeated
on fresh state, so that several agents and the client may all try.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from agent.api import Api, ApiError
from agent.config import Config
from agent.journal import say
from agent.watchdog import Watchdog
from agent.workers import Workers
from interceptor.tunnel.poller import Poller, Timer
from interceptor.wire.reasons import Reason

LOOK_EVERY = 0.5
ATTEMPTS = 8
RELEASE_WITHIN = 10.0  # seconds for the restored pods to get ready, before the session's rights go anyway


class Outcome(Enum):
    """What a look found, or an attempt to restore achieved."""

    ALIVE = auto()
    UNSEEN = auto()
    ENDED = auto()  # the Lease is gone, or somebody else's
    RESTORED = auto()
    NOT_OURS = auto()


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
        self._looking = False
        self._timer: Timer | None = None
        self._hand_over = hand_over
        self._handed: list[str] = []
        self._release_by = 0.0

    def start(self) -> None:
        """Begin; the client has `silent_after` seconds for its first tunnel."""
        if self._config.guard:
            self._look()

    def tunnel(self, up: bool, reason: Reason) -> None:
        """A tunnel came or ended."""
        self._watchdog.tunnel(up, reason)
        if self._config.guard and not up:
            self._look()

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()  # a tunnel that came and went has begun a look of its own
            self._timer = None
        if self._watchdog.watching and not self._looking:
            self._looking = True
            self._workers.run(self._read_lease, self._looked)

    def _read_lease(self) -> tuple[Outcome, str]:
        try:
            spec = self._api.get(self._config.lease).get("spec") or {}
        except ApiError as error:
            if error.status == 404:
                return Outcome.ENDED, "the session's Lease is gone"
            say(f"the Lease can't be read: {error}")
            return Outcome.UNSEEN, ""
        except OSError as error:
            say(f"the API server can't be reached: {error}")
            return Outcome.UNSEEN, ""
        if not str(spec.get("holderIdentity", "")).endswith("/" + self._config.session):
            return Outcome.NOT_OURS, ""
        return Outcome.ALIVE, str(spec.get("renewTime"))

    def _looked(self, result: tuple[Outcome, str] | None, error: Exception | None) -> None:
        self._looking = False
        if error is not None:
            raise error
        assert result is not None
        outcome, text = result
        if not self._watchdog.watching:
            return
        if outcome is Outcome.NOT_OURS:
            say("another session holds the workload: nothing to restore here")
            self._watchdog.retire()
        elif outcome is Outcome.ENDED:
            self._restore(text)
        elif outcome is Outcome.UNSEEN:
            self._watchdog.unseen()
            self._look_later(LOOK_EVERY)
        elif self._watchdog.seen(text, self._poller.now()):
            self._restore(f"{self._config.holder} is gone")
        else:
            self._look_later(LOOK_EVERY)

    def _look_later(self, seconds: float) -> None:
        self._timer = self._poller.call_later(seconds, self._look)

    def _restore(self, why: str) -> None:
        say(f"{why}: restoring the workload")
        self._looking = True
        self._workers.run(self._undo, self._undone)

    def _undo(self) -> Outcome:
        """Restore the workload; OSError and ApiError mean: try again."""
        # Needed once, at the end: imported here, a fifth less of the pod's start (a zipapp is compiled each time).
        from interceptor.swap import json_patch, precondition, record_of, restore  # noqa: PLC0415

        for _ in range(ATTEMPTS):
            try:
                workload = self._api.get(self._config.workload)
                record = record_of(workload)
                if record is not None and record.session == self._config.session:
                    version = workload["metadata"]["resourceVersion"]
                    operations = json_patch(workload, restore(workload).workload)
                    self._api.patch(self._config.workload, [precondition(version), *operations])
                break
            except ApiError as error:
                if error.status == 404:
                    break
                if error.status != 409:
                    raise
        else:
            raise OSError("the workload changes faster than it can be restored")
        return Outcome.RESTORED

    def _undone(self, _: Any, error: Exception | None) -> None:
        self._looking = False
        if error is None:
            say("the workload is restored")
            self._watchdog.retire()
            self._release_by = self._poller.now() + RELEASE_WITHIN
            self._find_restored()
        elif isinstance(error, (ApiError, OSError)):
            say(f"restoring failed, trying again: {error}")
            self._look_later(LOOK_EVERY * 2)
        else:
            raise error

    def _find_restored(self) -> None:
        """Callers who wait here go on to the pods that took our place, as soon as the first is ready."""
        self._workers.run(self._ready_pods, self._found_restored)

    def _ready_pods(self) -> list[str]:
        try:
            pods = self._api.get(self._config.pods)["items"]
        except (ApiError, OSError):
            return self._handed  # asked again soon
        return sorted(pod["status"]["podIP"] for pod in pods if _serves(pod))

    def _found_restored(self, addresses: list[str] | None, error: Exception | None) -> None:
        if error is not None:
            raise error
        if addresses and addresses != self._handed:
            self._handed = addresses
            self._hand_over(addresses)
        if self._handed or self._poller.now() >= self._release_by:
            self._poller.call_later(LOOK_EVERY * 2, self._begin_release)  # the other replicas' agents look too
        else:
            self._poller.call_later(LOOK_EVERY, self._find_restored)

    def _begin_release(self) -> None:
        self._workers.run(self._release, self._released)

    def _release(self) -> None:
        """Delete the session object. Last of all: what it takes along is the very right by which we look at pods."""
        try:
            self._api.delete(self._config.owner)
        except ApiError as error:
            if error.status not in (401, 403, 404):  # another agent was first
                raise

    def _released(self, _: Any, error: Exception | None) -> None:
        if isinstance(error, (ApiError, OSError)):
            say(f"the session object can't be deleted, trying again: {error}")
            self._poller.call_later(LOOK_EVERY * 2, self._begin_release)
        elif error is not None:
            raise error


def _serves(pod: dict[str, Any]) -> bool:
    """Whether a pod runs the app, ready and not ending."""
    from interceptor.swap import SESSION_ANNOTATION  # noqa: PLC0415  loaded by `_undo` before

    metadata, conditions = pod["metadata"], pod.get("status", {}).get("conditions", [])
    return (
        SESSION_ANNOTATION not in metadata.get("annotations", {})
        and "deletionTimestamp" not in metadata
        and any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    )
