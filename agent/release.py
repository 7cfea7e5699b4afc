"""What follows on a restored workload: callers go on to its pods, then what the session owns goes; `guard` begins it.

Every agent of the session does it, also one whose pod is ending: whoever is the last to run the agent finishes. The order
matters: the session object goes last, because it takes along the very right by which we look and delete.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from agent.api import Api, ApiError
from agent.config import Config
from agent.handwork import Handwork
from agent.journal import say
from agent.workers import Workers
from interceptor.tunnel.poller import Poller

LOOK_EVERY = 0.5
_OVER = ("Failed", "Succeeded")  # an evicted pod's object stays
PATIENCE = 60.0  # seconds for the pods to be exchanged, before the session's rights go anyway


class Pods(NamedTuple):
    """What one look at the workload's pods found."""

    serving: list[str]  # addresses of pods that run the app, ready
    agents: int  # how many pods of this session are left that are not ending
    ours: list[dict[str, Any]]  # all of this session's


class Release:
    """From a restored template to the end of the session."""

    def __init__(
        self,
        poller: Poller,
        workers: Workers,
        config: Config,
        api: Api,
        handwork: Handwork,
        hand_over: Callable[[list[str]], None],
    ) -> None:
        self._poller, self._workers, self._config, self._api = poller, workers, config, api
        self._handwork = handwork
        self._hand_over = hand_over
        self._handed: list[str] = []
        self._ours: dict[str, dict[str, Any]] = {}
        self._left = 0
        self._deadline = 0.0
        self.under_way = False

    def begin(self) -> None:
        """Start looking at the pods; once."""
        if not self.under_way:
            self.under_way = True
            self._deadline = self._poller.now() + PATIENCE
            self._look()

    def _look(self) -> None:
        self._workers.run(self._find, self._found)

    def _find(self) -> Pods | None:
        """None: the API server did not answer."""
        try:
            items = self._api.get(self._config.pods)["items"]
            self._handwork.exchange(items, self._poller.now())
            return pods_of(items, self._config.session)
        except ApiError as error:
            return Pods([], 0, []) if error.status in (401, 403) else None  # another agent has finished
        except OSError:
            return None

    def _found(self, pods: Pods | None, error: Exception | None) -> None:
        if error is not None:
            raise error
        if pods is not None:
            self._ours.update({pod["metadata"]["name"]: pod for pod in pods.ours})
            if pods.agents != self._left:  # it goes on: however many pods there are, one after the other
                self._left, self._deadline = pods.agents, self._poller.now() + PATIENCE
            if pods.serving and pods.serving != self._handed:
                self._handed = pods.serving
                self._hand_over(pods.serving)
        late = self._poller.now() >= self._deadline
        if late or (pods is not None and not pods.agents and (pods.serving or self._config.kind != "Pod")):
            self._workers.run(self._finish, self._finished)
        else:
            self._poller.call_later(LOOK_EVERY, self._look)

    def _finish(self) -> None:
        self._handwork.forget(list(self._ours.values()))
        try:
            self._api.delete(self._config.owner)
        except ApiError as error:
            if error.status not in (401, 403, 404):  # another agent was first
                raise

    def _finished(self, _: Any, error: Exception | None) -> None:
        if error is None:
            self.under_way = False
        elif isinstance(error, (ApiError, OSError)):
            say(f"what the session owns can't be deleted, trying again: {error}")
            self._poller.call_later(LOOK_EVERY * 2, self._look)
        else:
            raise error


def pods_of(items: list[dict[str, Any]], session: str) -> Pods:
    """Sort the workload's pods: who serves, and who is still ours."""
    from interceptor.swap import SESSION_ANNOTATION  # noqa: PLC0415  not on the way of the pod's start

    serving: list[str] = []
    ours = []
    agents = 0
    for pod in items:
        metadata = pod["metadata"]
        ending = "deletionTimestamp" in metadata or pod.get("status", {}).get("phase") in _OVER
        whose = metadata.get("annotations", {}).get(SESSION_ANNOTATION)
        if whose == session:
            agents += not ending
            ours.append(pod)
        elif whose is None and not ending and _ready(pod):
            serving.append(pod["status"]["podIP"])
    return Pods(sorted(serving), agents, ours)


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
