"""Rollouts that don't come to their end, on the embedded cluster: what is said, and that what is to be typed can be typed."""

from __future__ import annotations

import asyncio
import shlex
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from interceptor.devcluster.cluster import DevCluster
from interceptor.devcluster.faults import Rule
from interceptor.kube import Cluster, load_access
from interceptor.kube.resources import DEPLOYMENTS
from interceptor.workload.kinds import DEPLOYMENT, WorkloadRef
from interceptor.workload.rollout import RolloutFailed, wait_rolled_out
from tests.devcluster.conftest import Kubectl

REF = WorkloadRef(DEPLOYMENT, "default", "orders")
WAITS = "0 of 1 new pods are available"


@dataclass
class Stage:
    """A cluster in which deploy/orders never comes up: nobody can pull its image."""

    dev: DevCluster
    cluster: Cluster

    async def deploy(self, *, deadline: int = 600) -> None:
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "app", "image": "none:1"}]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template, "progressDeadlineSeconds": deadline}
        await self.cluster.create(DEPLOYMENTS, "default", {"metadata": {"name": "orders"}, "spec": spec})

    async def fails(self, within: float) -> RolloutFailed:
        with pytest.raises(RolloutFailed) as caught:
            await wait_rolled_out(self.cluster, REF, within=within)
        return caught.value

    async def type(self, hint: str) -> str:
        """What the command of a hint prints."""
        assert hint.startswith("see kubectl ")
        with tempfile.TemporaryDirectory() as cache:
            return await Kubectl(self.dev.kubeconfig, cache).ok(*shlex.split(hint.removeprefix("see kubectl ")))


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with DevCluster(tmp_path / "dev") as dev, Cluster(load_access(str(dev.kubeconfig))) as cluster:
        yield Stage(dev, cluster)


async def test_late_rollout_is_described(stage: Stage) -> None:
    await stage.deploy()
    failed = await stage.fails(1.5)
    assert failed.message == f"the rollout of deploy/orders took longer than 2 s: {WAITS}"
    assert failed.hint == "see kubectl describe deploy/orders -n default"
    assert "none:1" in await stage.type(failed.hint)


async def test_silent_cluster_is_told(stage: Stage) -> None:
    stage.dev.faults.add(Rule(verb="list", resource="deployments", delay=30.0, count=1))
    failed = await stage.fails(1.0)
    assert failed.message == "the rollout of deploy/orders took longer than 1 s: the cluster gave no answer"
    assert failed.hint == "see kubectl describe deploy/orders -n default"


async def test_stuck_rollout_is_described(stage: Stage) -> None:
    await stage.deploy(deadline=1)
    failed = await stage.fails(30.0)
    assert failed.message.startswith("the rollout of deploy/orders is stuck: ReplicaSet ")
    assert failed.hint == "see kubectl describe deploy/orders -n default"
    assert "ProgressDeadlineExceeded" in await stage.type(failed.hint)


async def test_deleted_meanwhile_is_told(stage: Stage) -> None:
    await stage.deploy()
    async with asyncio.TaskGroup() as group:
        failing = group.create_task(stage.fails(30.0))
        while not stage.dev.faults.streams("watch", "deployments"):  # noqa: ASYNC110  nobody tells of a watch
            await asyncio.sleep(0.02)
        await stage.cluster.delete(DEPLOYMENTS, "default", "orders")
    failed = await failing
    assert failed.message == "deploy/orders was deleted meanwhile"
    assert failed.hint == "see kubectl get events -n default"
    assert "deployment/orders" in await stage.type(failed.hint)


async def test_deleted_before_is_told_at_once(stage: Stage) -> None:
    failed = await stage.fails(30.0)
    assert failed.message == "deploy/orders was deleted meanwhile"
    assert failed.hint == "see kubectl get events -n default"
