"""Which pods belong to a workload, and the list of them; `inspect`, `trouble`, `change` and `session` ask.

By the selector, as the controllers find them. A bare pod has none: it is found by its name, and what stands in for it by
the session's label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from interceptor.kube import resources
from interceptor.swap import SESSION_ANNOTATION
from interceptor.workload.kinds import POD, WorkloadRef
from interceptor.workload.selectors import pods_query

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]


@dataclass(frozen=True)
class PodQuery:
    """The selectors of one list or watch."""

    label: str = ""
    field: str = ""

    @property
    def url(self) -> str:
        """As a URL's query."""
        given = {"labelSelector": self.label, "fieldSelector": self.field}
        return urlencode({key: value for key, value in given.items() if value}, quote_via=quote)


def queries(ref: WorkloadRef, workload: Object) -> tuple[PodQuery, ...]:
    """Together they find all pods of a workload."""
    if ref.kind is not POD:
        return (PodQuery(label=pods_query(workload)),)
    itself = PodQuery(field=f"metadata.name={ref.name}")
    return (itself, PodQuery(label=f"{SESSION_ANNOTATION}={ref.session}")) if ref.session else (itself,)


async def list_pods(cluster: Cluster, ref: WorkloadRef, workload: Object) -> list[Object]:
    """The pods as they are now."""
    found: list[Object] = []
    for query in queries(ref, workload):
        listing = await cluster.list(
            resources.PODS, ref.namespace, label_selector=query.label, field_selector=query.field
        )
        found += listing.items
    return found
