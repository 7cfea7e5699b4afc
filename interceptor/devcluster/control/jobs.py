"""Jobs without pods: a deadline that, once past, fails the Job, and a time to live that then deletes it.

That is all the product uses Jobs for (its session object). A Job with parallelism is refused with 501 by `admission`.
"""

from __future__ import annotations

from collections.abc import Iterable

from interceptor.devcluster import resources
from interceptor.devcluster.control.loop import Controller
from interceptor.devcluster.events import Recorder
from interceptor.devcluster.objects import Object, condition, deleting, name_of, seconds_since, timestamp, uid_of
from interceptor.devcluster.registry import DeleteOptions, Registry
from interceptor.devcluster.store import Change, Key

_WORDS = "Job was active longer than specified deadline"


class Jobs(Controller):
    """The Job controller and the TTL-after-finished controller."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._events = Recorder(registry, "job-controller")

    def concerns(self, change: Change) -> Iterable[Key]:
        """A Job."""
        if change.resource is resources.JOBS and change.kind != "DELETED":
            yield change.obj["metadata"]["namespace"], name_of(change.obj)

    def reconcile(self, key: Key) -> float | None:
        """Start, fail or delete one Job."""
        job = self.store.get(resources.JOBS, *key)
        if job is None or deleting(job):
            return None
        if condition(job, "Failed"):
            return self._expire(job)
        if job["spec"].get("suspend"):
            return None
        started = (job.get("status") or {}).get("startTime")
        if started is None:
            self._status(job, {"startTime": timestamp(), "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}})
            return 0.0
        deadline = job["spec"].get("activeDeadlineSeconds")
        if deadline is None:
            return None
        left = deadline - seconds_since(started)
        if left > 0:
            return float(left)
        now = timestamp()
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": "DeadlineExceeded",
                "message": _WORDS,
                "lastProbeTime": now,
                "lastTransitionTime": now,
            }
            for kind in ("FailureTarget", "Failed")
        ]
        self._status(job, {**job["status"], "conditions": conditions})
        self._events.say(job, "DeadlineExceeded", _WORDS, kind="Warning")
        return 0.0

    def _expire(self, job: Object) -> float | None:
        lives = job["spec"].get("ttlSecondsAfterFinished")
        failed = condition(job, "Failed")
        if lives is None or failed is None:
            return None
        left = lives - seconds_since(failed["lastTransitionTime"])
        if left > 0:
            return float(left)
        options = DeleteOptions(propagation="Foreground", uid=uid_of(job))
        self.registry.delete(resources.JOBS, job["metadata"]["namespace"], name_of(job), options)
        return None

    def _status(self, job: Object, status: Object) -> None:
        def write(obj: Object) -> None:
            obj["status"] = status

        self.registry.modify(resources.JOBS, job["metadata"]["namespace"], name_of(job), write, status=True)
