"""Which pods run what the template says, where no controller sees to it; `session` asks before and during the exchange.

A pod of an older template can't be put back: deleted once, it comes back as the template is now. Whoever chose `OnDelete`
chose when that happens, so such pods are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interceptor.kube import resources
from interceptor.swap.exchange import by_hand
from interceptor.swap.path import covers
from interceptor.workload.kinds import DAEMON_SET, STATEFUL_SET, WorkloadRef
from interceptor.workload.selectors import pods_query

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

_LABEL = "controller-revision-hash"
_TOLD_BY = ("image", "command", "args", "env")  # what tells two templates apart without counting what admission added


async def newest(cluster: Cluster, ref: WorkloadRef, workload: Object) -> str:
    """The label of pods that are of the current template; empty where pods have none, or a controller exchanges them."""
    if not by_hand(workload):
        return ""
    if ref.kind is STATEFUL_SET:
        return str((workload.get("status") or {}).get("updateRevision") or "")
    if ref.kind is DAEMON_SET:
        query = pods_query(workload)
        items = (await cluster.list(resources.CONTROLLER_REVISIONS, ref.namespace, label_selector=query)).items
        owned = [item for item in items if _owner(item) == workload["metadata"]["uid"]]
        latest = max(owned, key=lambda item: int(item["revision"]), default=None)
        return str(((latest or {}).get("metadata") or {}).get("labels", {}).get(_LABEL, ""))
    return ""


def is_current(workload: Object, revision: str, pod: Object) -> bool:
    """Whether a pod is of the template; `revision` as `newest` told."""
    if revision:
        return bool((pod["metadata"].get("labels") or {}).get(_LABEL) == revision)
    running = {item["name"]: item for item in pod["spec"]["containers"]}
    return all(
        item["name"] in running and covers({k: item[k] for k in _TOLD_BY if k in item}, running[item["name"]])
        for item in workload["spec"]["template"]["spec"]["containers"]
    )


def _owner(item: Object) -> str:
    owners = item["metadata"].get("ownerReferences") or []
    return str(next((owner["uid"] for owner in owners if owner.get("controller")), ""))
