"""The client dies: a real agent restores the workload through a real API, and leaves everything else alone.

Times are a fraction of the usual ones: lost after half a second, silent after one and a half.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interceptor.wire.reasons import Reason
from tests.agent.api_server import ApiServer, serving_api
from tests.agent.running import APP, SESSION, Agent, local_side, loopback, running_agent, tunnel_to
from tests.agent.test_serving import call, serving


@asynccontextmanager
async def guarded(folder: Path, api: ApiServer, **settings: Any) -> AsyncIterator[Agent]:
    async with serving_api(folder, api) as environ:
        with running_agent(folder, environ={**os.environ, **environ}, guard=True, **settings) as agent:
            yield agent


async def lose_client(agent: Agent) -> None:
    """A tunnel that ends without a goodbye."""
    async with tunnel_to(agent, local_side({})) as tunnel:
        tunnel.close(Reason.BROKEN)


async def until(condition: Callable[[], object], within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  another process acts
            await asyncio.sleep(0.02)


async def test_lost_client_is_undone(tmp_path: Path) -> None:
    api = ApiServer()
    async with guarded(tmp_path, api) as agent:
        await lose_client(agent)
        await until(lambda: api.restored)
        assert "ana@laptop" in agent.words
        await agent.says("the workload is restored")


async def test_silent_start_is_undone(tmp_path: Path) -> None:
    """A client that swapped the workload and died before its first tunnel."""
    api = ApiServer()
    async with guarded(tmp_path, api):
        await until(lambda: api.restored)


async def test_live_tunnel_keeps_workload(tmp_path: Path) -> None:
    """Whatever the Lease says."""
    api = ApiServer()
    api.renewing = True  # until there is a tunnel
    async with guarded(tmp_path, api, silent_after=0.5) as agent, tunnel_to(agent, local_side({})):
        api.renewing = False
        reads = api.reads
        await asyncio.sleep(1.5)
        assert not api.restored
        assert api.reads <= reads + 1  # one may have been under way


async def test_goodbye_leaves_all_to_client(tmp_path: Path) -> None:
    api = ApiServer()
    async with guarded(tmp_path, api, silent_after=60.0) as agent:
        async with tunnel_to(agent, local_side({})) as tunnel:
            tunnel.close(Reason.GOODBYE, "the session ended")
        await asyncio.sleep(1.5)
        assert not api.restored
        assert api.job


@pytest.mark.slow
async def test_moving_lease_keeps_workload(tmp_path: Path) -> None:
    api = ApiServer()
    api.renewing = True
    async with guarded(tmp_path, api) as agent:
        await lose_client(agent)
        await until(lambda: api.reads > 8)
        assert not api.restored
        api.renewing = False
        await until(lambda: api.restored)


async def test_return_keeps_workload(tmp_path: Path) -> None:
    api = ApiServer()
    async with guarded(tmp_path, api, lost_after=20.0, silent_after=60.0) as agent:
        await lose_client(agent)
        await until(lambda: api.reads > 1)
        async with tunnel_to(agent, local_side({})):
            reads = api.reads
            await asyncio.sleep(1.5)
            assert api.reads <= reads + 1  # nobody looks any more; one may have been under way
            assert not api.restored


async def test_gone_lease_ends_session(tmp_path: Path) -> None:
    api = ApiServer()
    api.lease = None
    async with guarded(tmp_path, api, lost_after=60.0, silent_after=60.0) as agent:
        await until(lambda: api.restored)
        assert "the session's Lease is gone: restoring the workload" in agent.words


async def test_other_holder_is_waited_for(tmp_path: Path) -> None:
    """Who takes the workload over restores it first; one who dies before that has it restored by us."""
    api = ApiServer()
    assert api.lease is not None
    api.lease["spec"]["holderIdentity"] = "bob@desk/orders-zzzzz"
    api.renewing = True
    async with guarded(tmp_path, api) as agent:
        await agent.says("another session holds the workload")
        await until(lambda: api.reads > 8)
        assert not api.restored
        api.renewing = False
        await until(lambda: api.restored)


async def test_taken_workload_is_released(tmp_path: Path) -> None:
    """Its new holder has taken our swap back: what is left of us goes."""
    api = ApiServer()
    assert api.lease is not None
    api.lease["spec"]["holderIdentity"] = "bob@desk/orders-zzzzz"
    api.deployment = api.original
    async with guarded(tmp_path, api):
        await until(lambda: not api.job, 30)
        assert api.restored


@pytest.mark.slow
async def test_others_swap_is_left_alone(tmp_path: Path) -> None:
    """The workload carries another session's record: only our own session object goes."""
    api = ApiServer(session="orders-zzzzz")
    before = api.deployment
    async with guarded(tmp_path, api):
        await until(lambda: not api.job, 30)
        assert api.deployment is before


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["no upstream", "html"])
async def test_unreachable_api_counts_for_nothing(tmp_path: Path, broken: str) -> None:
    api = ApiServer()
    async with guarded(tmp_path, api, silent_after=60.0) as agent:
        async with tunnel_to(agent, local_side({})) as tunnel:
            api.broken = broken
            tunnel.close(Reason.BROKEN)
        await asyncio.sleep(1.5)
        assert not api.restored
        api.broken = ""
        began = asyncio.get_running_loop().time()
        await until(lambda: api.restored)
        assert asyncio.get_running_loop().time() - began >= 0.4
        assert agent.process.poll() is None


async def test_conflicts_are_tried_again(tmp_path: Path) -> None:
    """Another writes in between: its change stays."""
    api = ApiServer()
    api.conflicts = 3
    async with guarded(tmp_path, api) as agent:
        await lose_client(agent)
        await until(lambda: api.restored)
        assert api.deployment["metadata"]["labels"] == {"touched": "by another"}


@pytest.mark.slow
async def test_callers_go_to_restored_pods(tmp_path: Path) -> None:
    """Then the session object goes, with all it owns."""
    stand_in = loopback()
    api = ApiServer()
    async with guarded(tmp_path, api, hold=30.0) as agent, serving(host=stand_in, port=APP):
        # An agent that finds none of its kind, not even itself, has nothing to wait for.
        api.pods = [pod("orders-0", agent.bind, ours=True)]
        await lose_client(agent)
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(call(agent.bind, APP), name="call")
            await until(lambda: api.restored)
            assert api.job
            api.pods = [pod("orders-1", stand_in), pod("orders-0", agent.bind, ours=True), pod("orders-2", "")]
            assert (await answer).endswith(b"hello")
        assert api.job  # an agent is left that may still have callers
        api.pods[1]["metadata"]["deletionTimestamp"] = "2026-11-23T05:01:00Z"
        await asyncio.wait_for(api.deleted.wait(), 30)
    assert api.forgotten == ["orders-5d9c/uid-5d9c"]  # the agents' ReplicaSet, and no other


def pod(name: str, address: str, *, ours: bool = False) -> dict[str, Any]:
    """One of the workload's pods; ready if it has an address."""
    owner = "orders-5d9c" if ours else "orders-7b7f"
    reference = {"kind": "ReplicaSet", "name": owner, "uid": f"uid-{owner[-4:]}", "controller": True}
    metadata: dict[str, Any] = {"name": name, "ownerReferences": [reference]}
    if ours:
        metadata["annotations"] = {"interceptor/session": SESSION}
    conditions = [{"type": "Ready", "status": "True" if address else "False"}]
    return {"metadata": metadata, "status": {"podIP": address, "conditions": conditions}}


async def test_short_lease_is_undone_soon(tmp_path: Path) -> None:
    """A client that swapped the workload and died before its first tunnel: its Lease says how short it is."""
    api = ApiServer()
    assert api.lease is not None
    api.lease["spec"]["leaseDurationSeconds"] = 1
    began = asyncio.get_running_loop().time()
    async with guarded(tmp_path, api, silent_after=60.0):
        await until(lambda: api.restored)
        assert asyncio.get_running_loop().time() - began >= 1


async def test_half_ended_session_is_finished(tmp_path: Path) -> None:
    """The client died after it had restored the workload: its objects go at once, whatever the Lease says."""
    api = ApiServer()
    async with guarded(tmp_path, api, lost_after=60.0, silent_after=60.0) as agent:
        async with tunnel_to(agent, local_side({})) as tunnel:
            api.deployment = api.original
            tunnel.close(Reason.BROKEN)
        await asyncio.wait_for(api.deleted.wait(), 30)
        await agent.says("the workload is restored already")


@pytest.mark.parametrize("broken", ["", "the proxy before it has no backend"])
async def test_half_restored_workload_is_finished(tmp_path: Path, broken: str) -> None:
    """The client died between its two writes: the restored pods come up and end the agents, so these may not wait."""
    api = ApiServer()
    async with guarded(tmp_path, api, lost_after=60.0, silent_after=60.0) as agent:
        async with tunnel_to(agent, local_side({})) as tunnel:
            annotations = api.deployment["metadata"]["annotations"]
            metadata = {**api.original["metadata"], "annotations": annotations}
            api.deployment = {**api.original, "metadata": metadata}
            api.broken = broken
            tunnel.close(Reason.BROKEN)
        if broken:
            asked = api.asked
            await until(lambda: api.asked > asked + 1)
            api.broken = ""
        await until(lambda: api.restored)
        await asyncio.wait_for(api.deleted.wait(), 30)
        assert "ended while taking the swap back" in agent.words


@pytest.mark.slow
async def test_ending_pod_finishes_the_session(tmp_path: Path) -> None:
    """It may be the last that runs the agent."""
    api = ApiServer()
    async with guarded(tmp_path, api) as agent:
        api.pods = [pod("orders-0", agent.bind, ours=True)]
        await lose_client(agent)
        await until(lambda: api.restored)
        agent.terminate()
        await asyncio.sleep(4)
        assert api.job
        assert agent.process.poll() is None
        api.pods = []
        assert await agent.exit_code() == 0
        assert not api.job


@pytest.mark.slow
async def test_flapping_tunnel_looks_no_more_often(tmp_path: Path) -> None:
    """Each loss begins a look; the look of the loss before it is not continued beside it."""
    api = ApiServer()
    async with guarded(tmp_path, api, lost_after=60.0, silent_after=60.0) as agent:
        for _ in range(8):
            await lose_client(agent)
        await asyncio.sleep(0.6)
        reads, began = api.reads, asyncio.get_running_loop().time()
        await asyncio.sleep(2.0)
        assert api.reads - reads <= 2 * (asyncio.get_running_loop().time() - began) + 2  # one in half a second
