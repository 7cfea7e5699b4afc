"""The tunnels of a session: which count, who is asked, and what a loss means to whoever asks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from interceptor.kube import Cluster, load_access
from interceptor.session.pods import Pod, Pods
from interceptor.session.tunnels import AgentTunnel, Tunnels
from interceptor.swap import SESSION_ANNOTATION
from interceptor.tunnel.client import Tunnel
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire.reasons import Reason
from interceptor.workload.kinds import DEPLOYMENT, WorkloadRef
from tests.agent.running import SESSION, Agent, local_side, running_agent, tunnel_to
from tests.session.scene import Recorder


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with running_agent(tmp_path) as agent:
        yield agent


@pytest_asyncio.fixture
async def cluster(kubeconfig: Path) -> AsyncIterator[Cluster]:
    async with Cluster(load_access(str(kubeconfig))) as cluster:
        yield cluster


@pytest.fixture
def pods(cluster: Cluster) -> Pods:
    """Not watched: the tests put theirs in."""
    workload = {"spec": {"selector": {"matchLabels": {"app": "orders"}}}}
    return Pods(cluster, WorkloadRef(DEPLOYMENT, "default", "orders"), workload, "app")


@pytest_asyncio.fixture
async def tunnels(cluster: Cluster, pods: Pods) -> Tunnels:
    """None is kept: the tests put theirs in."""
    context = ssl.create_default_context()
    return Tunnels(cluster, "default", SESSION, context, 47811, pods, local_side({}), Recorder())


def put(tunnels: Tunnels, pod: str, tunnel: Tunnel | None) -> AgentTunnel:
    found = tunnels.by_pod[pod] = AgentTunnel(pod, tunnel)
    return found


async def test_first_that_is_up_answers(agent: Agent, tunnels: Tunnels) -> None:
    put(tunnels, "starting", None)
    async with tunnel_to(agent, local_side({}), arm=False) as tunnel:
        up = put(tunnels, "up", tunnel)
        assert tunnels.live == [up]
        environ = await tunnels.environment()
        assert environ is not None
        assert environ["INTERCEPTOR_BIND"] == agent.bind


async def test_ended_tunnel_does_not_count(agent: Agent, tunnels: Tunnels) -> None:
    """Before its keeper was told, too: who waits for a live one must not find it."""
    async with tunnel_to(agent, local_side({}), arm=False) as tunnel:
        put(tunnels, "gone", tunnel)
        tunnel.close(Reason.GONE)
        assert tunnels.live == []
        assert tunnels.streams == 0
        assert await tunnels.environment() is None
        with pytest.raises(StreamRefused, match="no agent is connected"):
            await tunnels.dial("prices", 80)
        await tunnels.arm()


async def test_loss_while_asked_is_survived(agent: Agent, tunnels: Tunnels) -> None:
    async with tunnel_to(agent, local_side({}), arm=False) as tunnel:
        gone = put(tunnels, "gone", tunnel)
        async with asyncio.TaskGroup() as group:
            arming = group.create_task(tunnels.arm())
            asking = group.create_task(tunnels.environment())
            await asyncio.sleep(0)
            tunnel.close(Reason.GONE)
            gone.tunnel = None  # as its keeper does
        assert arming.done()
        assert asking.result() is None
        assert not gone.armed


async def test_all_are_armed(agent: Agent, tunnels: Tunnels) -> None:
    async with tunnel_to(agent, local_side({}), arm=False) as tunnel:
        one, two = put(tunnels, "one", tunnel), put(tunnels, "two", None)
        await tunnels.arm()
        assert (one.armed, two.armed) == (True, False)


async def test_goodbye_is_no_loss(agent: Agent, tunnels: Tunnels) -> None:
    async with tunnel_to(agent, local_side({}), arm=False) as tunnel:
        put(tunnels, "one", tunnel)
        tunnels.goodbye()
        assert (await tunnel.ended).reason is Reason.GOODBYE


def put_pod(pods: Pods, uid: str, phase: str) -> None:
    """An agent's pod `orders-0`, as the watch would."""
    raw = {
        "metadata": {"name": "orders-0", "uid": uid, "annotations": {SESSION_ANNOTATION: SESSION}},
        "spec": {"nodeName": "node"},
        "status": {"phase": phase, "containerStatuses": [{"name": "app", "state": {"running": {}}}]},
    }
    pods.by_name["orders-0"] = Pod.of(raw, "app")
    pods.touch()


async def test_name_comes_again(tunnels: Tunnels, pods: Pods) -> None:
    """An ordered set gives the name of an evicted pod to the next one, and the watch may tell both at once."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        serving = group.create_task(tunnels.serve())
        await asyncio.sleep(0)
        put_pod(pods, "1", "Running")
        await pods.until(lambda: "orders-0" in tunnels.by_pod)
        put_pod(pods, "1", "Failed")
        await pods.until(lambda: "orders-0" not in tunnels.by_pod)
        put_pod(pods, "2", "Running")
        await pods.until(lambda: "orders-0" in tunnels.by_pod)
        serving.cancel()


async def test_next_of_a_name_stays(tunnels: Tunnels, pods: Pods) -> None:
    """Though the end of the former one is seen after it."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        serving = group.create_task(tunnels.serve())
        await asyncio.sleep(0)
        put_pod(pods, "1", "Running")
        await pods.until(lambda: "orders-0" in tunnels.by_pod)
        following = put(tunnels, "orders-0", None)
        serving.cancel()
    assert tunnels.by_pod == {"orders-0": following}
