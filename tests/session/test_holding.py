"""Who holds what, put together from what the cluster shows."""

from __future__ import annotations

from typing import Any

from interceptor.kube import resources
from interceptor.session.holding import Holding, assemble
from interceptor.swap import SESSION_ANNOTATION, SwapPlan, swap
from interceptor.swap.policy import PolicyRecord, digest, edited, with_policy_record
from interceptor.workload.life import WatchedLease

SESSION = "orders-x7f2q"
CREATED = "2026-11-23T05:00:00Z"
Object = dict[str, Any]


def deployment(session: str = SESSION) -> Object:
    plain = {
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "orders:1"}]}}},
    }
    plan = SwapPlan(session, "app", ("python3",), "ana@laptop", "2026-11-23 06:00:00 UTC", 47812, "s")
    return swap(plain, plan)


def job(session: str = SESSION) -> Object:
    labels = {SESSION_ANNOTATION: session}
    metadata = {"name": f"interceptor-{session}", "namespace": "shop", "labels": labels}
    return {"metadata": metadata | {"creationTimestamp": CREATED}}


def lease(session: str = SESSION, *, alive: bool = True, holder: str | None = "ana@laptop") -> WatchedLease:
    metadata = {"name": "interceptor-deployment-orders", "namespace": "shop", "creationTimestamp": CREATED}
    spec = {"holderIdentity": f"{holder}/{session}"} if holder else {}
    return WatchedLease({"metadata": metadata | {"labels": {SESSION_ANNOTATION: session}}, "spec": spec}, alive)


def pod(name: str, session: str = SESSION, **metadata: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "shop", "annotations": {SESSION_ANNOTATION: session}, **metadata}}


def one(
    *,
    swaps: tuple[Object, ...] = (),
    jobs: tuple[Object, ...] = (),
    leases: tuple[WatchedLease, ...] | None = (),
    pods: tuple[Object, ...] = (),
) -> Holding:
    listed = {resources.DEPLOYMENTS: [*swaps], resources.JOBS: [*jobs], resources.PODS: [*pods]}
    (found,) = assemble(listed, None if leases is None else [*leases])
    return found


def test_held_workload_is_told() -> None:
    found = one(swaps=(deployment(),), jobs=(job(),), leases=(lease(),), pods=(pod("b"), pod("a")))
    assert (found.workload, found.holder, found.alive, found.state) == ("deploy/orders", "ana@laptop", True, "held")
    assert found.since == "2026-11-23 05:00:00 UTC"  # the cluster's clock, not the holder's
    assert sorted(found.pods) == ["a", "b"]


def test_still_lease_is_silent() -> None:
    found = one(swaps=(deployment(),), jobs=(job(),), leases=(lease(alive=False),))
    assert (found.alive, found.state, found.leftover) == (False, "silent", "")


def test_session_without_swap_is_starting_while_alive() -> None:
    assert one(jobs=(job(),), leases=(lease(),)).state == "starting"
    dead = one(jobs=(job(),), leases=(lease(alive=False),))
    assert (dead.state, dead.leftover) == ("leftover", "a session object without a swap")


def test_swap_without_session_is_leftover() -> None:
    assert one(swaps=(deployment(),)).leftover == "a swap without a session object"


def test_lonely_lease_is_leftover() -> None:
    assert one(leases=(lease(alive=False),)).leftover == "a Lease without a session"
    holderless = one(leases=(lease(alive=False, holder=None),))
    assert (holderless.leftover, holderless.workload) == ("a Lease without a holder", "deploy/orders")


def test_lonely_pods_are_leftover() -> None:
    assert one(pods=(pod("a"),)).leftover == "agent pods without a swap"


def test_ending_pods_are_nobodys() -> None:
    listed = {resources.PODS: [pod("a", deletionTimestamp=CREATED)]}
    assert assemble(listed, []) == []


def test_copied_annotations_count_once() -> None:
    """The Deployment's controller copies its annotations to the ReplicaSets."""
    copy = deployment()
    copy["metadata"] |= {"name": "orders-1", "ownerReferences": [{"controller": True}]}
    listed = {resources.DEPLOYMENTS: [deployment()], resources.REPLICA_SETS: [copy], resources.JOBS: [job()]}
    assert [found.workload for found in assemble(listed, [])] == ["deploy/orders"]


def test_unread_leases_leave_life_unknown() -> None:
    found = one(swaps=(deployment(),), jobs=(job(),), leases=None)
    assert (found.alive, found.state) == (None, "held")


def test_damaged_record_is_told() -> None:
    broken = deployment()
    broken["metadata"]["annotations"]["interceptor/swap"] = "{"
    assert "was damaged" in one(swaps=(broken,)).leftover


def test_taking_over_is_told() -> None:
    listed = {resources.DEPLOYMENTS: [deployment()], resources.JOBS: [job(), job("orders-new22")]}
    old, new = sorted(assemble(listed, [lease("orders-new22", holder="bob@desk")]), key=lambda each: not each.swapped)
    assert old.leftover == "bob@desk is taking it over"
    assert new.state == "starting"


def test_changed_route_is_a_session() -> None:
    """By the record on it; what a person types to take it back is its name."""
    before: Object = {"metadata": {"name": "web.shop.svc", "namespace": "shop"}, "spec": {"routes": [{"name": "a"}]}}
    after, changes = edited(before, [(("spec", "routes", {"name": "a"}, "timeout"), "1s")])
    record = PolicyRecord(SESSION, "ana@laptop", "2026-11-23 06:00:00 UTC", "", False, changes, digest(before))
    lock = lease().lease
    lock["metadata"]["name"] = "interceptor-serviceprofile-web.shop.svc"
    listed = {resources.SERVICE_PROFILES: [with_policy_record(after, record)], resources.JOBS: [job()]}
    (found,) = assemble(listed, [WatchedLease(lock, alive=False)])
    assert (found.workload, found.holder, found.state) == ("serviceprofile/web.shop.svc", "ana@laptop", "silent")
    (found,) = assemble({**listed, resources.JOBS: []}, [])
    assert found.leftover == "a change without a session object"


def test_lock_alone_tells_the_route() -> None:
    lock = lease()
    lock.lease["metadata"]["name"] = "interceptor-httproute-books"
    assert one(leases=(lock,)).workload == "httproute/books"
