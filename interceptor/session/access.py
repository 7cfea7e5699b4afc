"""From kubectl's global options, as typed, to a client of that cluster; `intercept` and `repair` begin with it."""

from __future__ import annotations

from interceptor.kube import Cluster, load_access
from interceptor.session.options import Access


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
