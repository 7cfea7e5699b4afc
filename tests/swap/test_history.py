"""Which entry of a workload's history a pod comes from."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.swap.history import Revision, revision_of


def pod(kind: str, owner: str, mark: str = "") -> dict[str, Any]:
    owners = [{"kind": "Backup", "name": "b"}, {"kind": kind, "name": owner, "uid": "u", "controller": True}]
    return {"metadata": {"ownerReferences": owners, "labels": {"controller-revision-hash": mark} if mark else {}}}


@pytest.mark.parametrize(
    ("made", "kind", "entry"),
    [
        (pod("ReplicaSet", "web-5d9c"), "Deployment", Revision("replicasets", "web-5d9c", "u")),
        (pod("StatefulSet", "db", "db-66f"), "StatefulSet", Revision("controllerrevisions", "db-66f")),
        (pod("DaemonSet", "log", "7b9"), "DaemonSet", Revision("controllerrevisions", "log-7b9")),
        (pod("ReplicaSet", "web"), "ReplicaSet", None),  # the workload itself: never to be deleted
        (pod("ReplicaSet", "interceptor-solo-x7f2q"), "Pod", None),
        (pod("Lease", "interceptor-replicaset-web"), "ReplicaSet", None),
        (pod("StatefulSet", "db"), "StatefulSet", None),
        ({"metadata": {"labels": {"controller-revision-hash": "x"}}}, "StatefulSet", None),
    ],
)
def test_entry_of_a_pod(made: dict[str, Any], kind: str, entry: Revision | None) -> None:
    assert revision_of(made, kind) == entry
