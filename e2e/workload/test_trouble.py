"""Why the agent can't start, within ten seconds and in the cluster's words."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from e2e.kubectl import Kubectl
from interceptor.kube import Cluster
from interceptor.swap import SwapPlan
from interceptor.workload.change import apply_swap, undo_swap
from interceptor.workload.rollout import RolloutFailed, wait_rolled_out
from interceptor.workload.trouble import watch_for_trouble


async def failure(api: Cluster, namespace: str, plan: SwapPlan, within: float = 12) -> str:
    await apply_swap(api, namespace, "orders", plan)
    with pytest.raises(RolloutFailed) as caught:
        await asyncio.wait_for(watch_for_trouble(api, namespace, "orders", plan.session), within)
    await undo_swap(api, namespace, "orders", plan.session)
    return str(caught.value)


async def test_image_that_cannot_be_pulled(api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any) -> None:
    image = "127.0.0.1:9/none:1"
    said = await failure(api, kubectl.namespace, replace(plan, image=image))
    assert image in said
    assert said.startswith("pod/orders-")
    assert "--agent-image" in said
    await wait_rolled_out(api, kubectl.namespace, "orders", within=30, without_session=plan.session)


async def test_program_that_crashes(api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any) -> None:
    said = await failure(api, kubectl.namespace, replace(plan, command=("python3", "-c", "raise SystemExit(7)")))
    assert "container app ended again and again, last with status 7" in said
    assert "kubectl logs pod/orders-" in said


async def test_quota_forbids_pods(api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}}
    kubectl.apply(quota)
    kubectl("wait", "--for=jsonpath={.status.used.pods}=2", "resourcequota/q")
    assert "exceeded quota: q" in await failure(api, kubectl.namespace, plan)


async def test_missing_program(api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any) -> None:
    said = await failure(api, kubectl.namespace, replace(plan, command=("/no/such/python",)))
    assert "/no/such/python" in said


async def test_missing_secret(api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any) -> None:
    said = await failure(api, kubectl.namespace, replace(plan, secret="never-made"), within=25)
    assert 'secret "never-made" not found' in said
