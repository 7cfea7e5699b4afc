"""One workload, one holder; who lives is seen by renewals, not by clocks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from e2e.kubectl import Kubectl
from interceptor.kube import Cluster, resources
from interceptor.workload.lease import HeldLease, LostLease, acquire
from interceptor.workload.life import AlreadyIntercepted
from interceptor.workload.objects import SessionNames, job, lease, owner_reference


@pytest.fixture
async def owner(api: Cluster, names: SessionNames) -> Any:
    return owner_reference(await api.create(resources.JOBS, names.namespace, job(names, 300)))


async def kept(held: HeldLease, meanwhile: Any) -> None:
    """Run something while the lease is renewed."""
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(held.keep(), name="keep the lease")
        await meanwhile
        keeping.cancel()


async def test_living_holder_is_named(api: Cluster, names: SessionNames, owner: Any) -> None:
    held = await acquire(api, names, owner, "ana@laptop")
    silent: list[str] = []

    async def other() -> None:
        with pytest.raises(AlreadyIntercepted, match=r"deploy/orders is already intercepted by ana@laptop since 20"):
            await acquire(api, names, owner, "ben@desk", waiting=silent.append)
        assert silent == []  # never taken for one that might be gone

    await kept(held, other())
    await held.release()
    await (await acquire(api, names, owner, "ben@desk")).release()


async def test_silent_holder_is_replaced(api: Cluster, kubectl: Kubectl, names: SessionNames, owner: Any) -> None:
    """The time in the Lease is from the future: only that nothing moves counts."""
    leftover = lease(names, owner, "ana@laptop", datetime(2126, 1, 1, tzinfo=UTC), 5)
    await api.create(resources.LEASES, names.namespace, leftover)
    told: list[str] = []
    held = await acquire(api, names, owner, "ben@desk", waiting=told.append)
    assert told == ["ana@laptop held orders and is silent; waiting up to 5 s for its end"]
    assert kubectl.json("get", "lease", names.lease)["spec"]["holderIdentity"] == f"ben@desk/{names.session}"
    await held.release()


async def test_renewals_move_the_lease(api: Cluster, names: SessionNames, owner: Any) -> None:
    held = await acquire(api, names, owner, "ana@laptop")

    async def moves() -> None:
        times: set[str] = set()
        async with asyncio.timeout(60):
            while len(times) < 3:
                found = await api.get(resources.LEASES, names.namespace, names.lease)
                times.add(found["spec"]["renewTime"])
                await asyncio.sleep(0.2)

    await kept(held, moves())


async def test_removed_lease_is_lost(api: Cluster, kubectl: Kubectl, names: SessionNames, owner: Any) -> None:
    held = await acquire(api, names, owner, "ana@laptop")
    kubectl("delete", "lease", names.lease)
    with pytest.raises(LostLease, match="removed"):
        await asyncio.wait_for(held.keep(), 30)
    await held.release()


async def test_taken_lease_is_lost(api: Cluster, kubectl: Kubectl, names: SessionNames, owner: Any) -> None:
    held = await acquire(api, names, owner, "ana@laptop")
    kubectl("delete", "lease", names.lease)
    await api.create(resources.LEASES, names.namespace, lease(names, owner, "ben@desk", datetime.now(UTC), 15))
    with pytest.raises(LostLease, match="took deploy/orders over"):
        await asyncio.wait_for(held.keep(), 30)
    await held.release()
    assert kubectl.json("get", "lease", names.lease)["spec"]["holderIdentity"].startswith("ben@desk")
