"""Who is meant by --from, and whose address it is."""

from __future__ import annotations

import pytest

from interceptor.mesh.callers import Caller, caller_of
from interceptor.session.tap import address_of, is_from

WEB = Caller("web-5c-x7", "shop", "deploy/web")
RECORD = {"peer": "10.0.0.7:1234", "caller_id": "web.shop.serviceaccount"}


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("10.0.0.7:1234", "10.0.0.7"),
        ("[fd00::1]:80", "fd00::1"),
        ("::ffff:10.0.0.7:80", "10.0.0.7"),
        ("db:80", "db"),
        ("", ""),
    ],
)
def test_addresses(peer: str, address: str) -> None:
    assert address_of(peer) == address


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("web", True),
        ("deploy/web", True),
        ("deploy/web.shop", True),
        ("web.shop", True),
        ("web-5c-x7", True),
        ("pod/web-5c-x7", True),
        ("10.0.0.7", True),
        ("10.0.0.7:1234", True),
        ("web.shop.serviceaccount", True),
        ("web.other", False),
        ("sts/web", False),
        ("", False),
    ],
)
def test_callers(text: str, meant: bool) -> None:
    assert is_from(text, WEB, RECORD) is meant
    assert not is_from("web", None, RECORD)


@pytest.mark.parametrize(
    ("owner", "labels", "workload"),
    [
        ({"kind": "ReplicaSet", "name": "web-5c"}, {"pod-template-hash": "5c"}, "deploy/web"),
        ({"kind": "ReplicaSet", "name": "web-5c"}, {}, "rs/web-5c"),
        ({"kind": "StatefulSet", "name": "db"}, {}, "sts/db"),
        ({"kind": "Rollout", "name": "x"}, {}, "rollout/x"),
        (None, {}, ""),
    ],
)
def test_workload_of_a_pod(owner: dict[str, str] | None, labels: dict[str, str], workload: str) -> None:
    owners = [{**owner, "controller": True}] if owner else []
    pod = {"metadata": {"name": "p", "namespace": "n", "labels": labels, "ownerReferences": owners}}
    assert caller_of(pod) == Caller("p", "n", workload)
    assert caller_of(pod).title == f"{workload or 'pod/p'}.n"
