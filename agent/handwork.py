"""Exchanges pods where no controller does, and makes a bare pod again; `guard` and `release` call it from a worker thread.

With `OnDelete`, and for a ReplicaSet of its own, a restored template changes no pod: every agent of the session deletes
by the same rule, itself included, so it does not matter who is faster. docs/architecture.md, "Kinds".
"""

from __future__ import annotations

import functools
from typing import Any

from agent.api import Api, ApiError
from agent.config import Config
from agent.journal import say

HURRY_AFTER = 60.0  # seconds without progress, after which the next pod goes although not all others serve

Object = dict[str, Any]


class Handwork:
    """What a restored workload needs beside its template."""

    def __init__(self, api: Api, config: Config) -> None:
        self._api, self._config = api, config
        self._folder = config.pods.partition("?")[0]
        self._since: float | None = None

    def bring_back(self, pod: Object) -> None:
        """Create a bare pod, unless it is there. OSError: it is still ending, try again."""
        try:
            self._api.create(self._folder, pod)
        except ApiError as error:
            if error.status != 409:
                raise
            items = self._api.get(self._config.pods)["items"]
            if not items or any("deletionTimestamp" in item["metadata"] for item in items):
                raise OSError(f"pod {pod['metadata']['name']} is still ending") from error

    def exchange(self, pods: list[Object], now: float) -> None:
        """Delete the next of our pods if it is time for it."""
        from interceptor.swap.exchange import by_hand, next_pod  # noqa: PLC0415  not on the way of the pod's start

        if self._config.kind not in ("StatefulSet", "DaemonSet", "ReplicaSet"):
            return
        workload = self._api.get(self._config.workload)
        if not by_hand(workload):
            return
        if self._since is None:
            self._since = now
        hurry = now - self._since > HURRY_AFTER
        found = next_pod(workload, pods, functools.partial(_is_of, self._config.session), hurry).pod
        if found is not None:
            self._since = now
            say(f"deleting pod {found['metadata']['name']}: its controller leaves that to us")
            self._delete(f"{self._folder}/{found['metadata']['name']}", found["metadata"]["uid"])

    def forget(self, pods: list[Object]) -> None:
        """Delete our template from the history, so that `kubectl rollout undo` can't bring agents back without files."""
        from interceptor.swap.history import revision_of  # noqa: PLC0415  as above

        home = self._config.workload.rpartition("/")[0].rpartition("/")[0]
        for found in {revision_of(pod, self._config.kind) for pod in pods}:
            if found is not None:
                self._delete(f"{home}/{found.plural}/{found.name}", found.uid)

    def _delete(self, path: str, uid: str) -> None:
        try:
            self._api.delete(path, uid)
        except ApiError as error:
            # 403: the client died before it had allowed it, or its user may not. 404, 409: another agent was first.
            if error.status not in (401, 403, 404, 409):
                raise


def _is_of(session: str, pod: Object) -> bool:
    from interceptor.swap import SESSION_ANNOTATION  # noqa: PLC0415  as above

    return bool((pod["metadata"].get("annotations") or {}).get(SESSION_ANNOTATION) == session)
