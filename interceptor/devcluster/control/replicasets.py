"""ReplicaSets: as many pods as asked for; the pods are run by the kubelet (`node`)."""

from __future__ import annotations

from collections.abc import Iterable

from interceptor.devcluster import resources
from interceptor.devcluster.control import rollout
from interceptor.devcluster.control.deployments import owner_reference
from interceptor.devcluster.control.loop import Controller
from interceptor.devcluster.events import Recorder
from interceptor.devcluster.objects import (
    Object,
    clone,
    condition,
    controller_of,
    deleting,
    is_true,
    name_of,
    owned_by,
    seconds_since,
)
from interceptor.devcluster.registry import DeleteOptions, Registry
from interceptor.devcluster.status import ApiError
from interceptor.devcluster.store import Change, Key

_RETRY = 1.0


def _age_ready(pod: Object) -> float:
    found = condition(pod, "Ready")
    return seconds_since(found["lastTransitionTime"]) if found else 0.0


class ReplicaSets(Controller):
    """The ReplicaSet controller."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._events = Recorder(registry, "replicaset-controller")

    def concerns(self, change: Change) -> Iterable[Key]:
        """A ReplicaSet, or the owner of a pod."""
        if change.resource is resources.REPLICASETS and change.kind != "DELETED":
            yield change.obj["metadata"]["namespace"], name_of(change.obj)
        elif change.resource is resources.PODS and (owner := controller_of(change.obj)):
            yield change.obj["metadata"]["namespace"], owner["name"]

    def reconcile(self, key: Key) -> float | None:
        """Create or delete pods, then write the status."""
        replicaset = self.store.get(resources.REPLICASETS, *key)
        if replicaset is None or deleting(replicaset):
            return None
        pods = self._active(replicaset)
        missing = rollout.wanted(replicaset) - len(pods)
        problem = None
        if missing > 0:
            problem = self._create(replicaset, missing)
        elif missing < 0:
            # those not ready go first, then the youngest
            doomed = sorted(
                pods, key=lambda pod: (is_true(pod, "Ready"), seconds_since(pod["metadata"]["creationTimestamp"]))
            )
            for pod in doomed[:-missing]:
                self.registry.delete(resources.PODS, key[0], name_of(pod), DeleteOptions())
                self._events.say(replicaset, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        again = self._write_status(replicaset, problem)
        return _RETRY if problem else again

    def _active(self, replicaset: Object) -> list[Object]:
        return [
            pod
            for pod in self.store.list(resources.PODS, replicaset["metadata"]["namespace"])
            if owned_by(pod, replicaset) and not deleting(pod) and pod["status"]["phase"] not in ("Succeeded", "Failed")
        ]

    def _create(self, replicaset: Object, count: int) -> ApiError | None:
        template = replicaset["spec"]["template"]
        for _ in range(count):
            pod = {
                "metadata": clone(template.get("metadata") or {})
                | {"generateName": f"{name_of(replicaset)}-", "ownerReferences": [owner_reference(replicaset)]},
                "spec": clone(template["spec"]),
            }
            try:
                made = self.registry.create(resources.PODS, replicaset["metadata"]["namespace"], pod)
            except ApiError as error:
                self._events.say(replicaset, "FailedCreate", f"Error creating: {error.message}", kind="Warning")
                return error
            self._events.say(replicaset, "SuccessfulCreate", f"Created pod: {name_of(made)}")
        return None

    def _write_status(self, replicaset: Object, problem: ApiError | None) -> float | None:
        pods = self._active(replicaset)
        ready = [pod for pod in pods if is_true(pod, "Ready")]
        minimum = replicaset["spec"].get("minReadySeconds", 0)
        available = [pod for pod in ready if _age_ready(pod) >= minimum]
        numbers = {"fullyLabeledReplicas": len(pods), "readyReplicas": len(ready), "availableReplicas": len(available)}
        status: Object = {
            "replicas": len(pods),
            "observedGeneration": replicaset["metadata"]["generation"],
            "conditions": list((replicaset.get("status") or {}).get("conditions") or ()),
        } | {name: number for name, number in numbers.items() if number}
        if problem:
            rollout.set_condition(status, "ReplicaFailure", "True", "FailedCreate", problem.message)
        else:
            rollout.drop_condition(status, "ReplicaFailure")

        def write(obj: Object) -> None:
            obj["status"] = status

        self.registry.modify(
            resources.REPLICASETS, replicaset["metadata"]["namespace"], name_of(replicaset), write, status=True
        )
        waiting = [minimum - _age_ready(pod) for pod in ready if pod not in available]
        return min(waiting, default=None)
