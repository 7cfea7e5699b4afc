"""From kubectl's global options, as typed, to a client of that cluster; every command that asks one begins with it."""

from __future__ import annotations

from interceptor.kube import Cluster, load_access
from interceptor.session.options import Access
from interceptor.workload import target
from interceptor.workload.kinds import DAEMON_SET, DEPLOYMENT, STATEFUL_SET, WorkloadRef, kind_for, ref_of


def open_cluster(typed: Access) -> Cluster:
    """The client, not yet entered. Raises KubeconfigError; nothing is sent."""
    access = load_access(
        typed.kubeconfig,
        typed.context,
        namespace=typed.namespace,
        as_user=typed.as_user or "",
        as_groups=typed.as_groups,
    )
    return Cluster(access)


def namespace_of(typed: Access) -> str:
    """The namespace that is meant. Needs a kubeconfig only where none was typed."""
    return typed.namespace or open_cluster(typed).namespace


async def ref_for(typed: Access, text: str) -> WorkloadRef:
    """The workload that is meant; the cluster is asked only where the words don't say it: svc/x, x, pod/x."""
    wanted = target.parse(text)
    kind = kind_for(wanted.resource) if wanted.resource is not None else None
    if kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET) and kind is not None:
        return WorkloadRef(kind, namespace_of(typed), wanted.name)
    async with open_cluster(typed) as cluster:
        return ref_of(await target.resolve(cluster, cluster.namespace, text), cluster.namespace)
