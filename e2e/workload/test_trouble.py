"""Why the agent can't start, in the cluster's words."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from e2e.kubectl import Kubectl
from e2e.workload.conftest import agents_gone
from interceptor.kube import Cluster
from interceptor.swap import SwapPlan
from interceptor.workload.change import apply_swap, undo_swap
from interceptor.workload.objects import SessionNames
from interceptor.workload.rollout import RolloutFailed, wait_rolled_out
from interceptor.workload.trouble import watch_for_trouble


async def failure(api: Cluster, names: SessionNames, plan: SwapPlan, within: float = 120) -> str:
    await apply_swap(api, names.ref, plan)
    with pytest.raises(RolloutFailed) as caught:
        await asyncio.wait_for(watch_for_trouble(api, names.ref, plan.session), within)
    await undo_swap(api, names.ref, plan.session)
    return str(caught.value)


async def test_image_that_cannot_be_pulled(
    names: SessionNames, api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any
) -> None:
    image = "127.0.0.1:9/none:1"
    said = await failure(api, names, replace(plan, image=image))
    assert image in said
    assert said.startswith("pod/orders-")
    assert "--agent-image" in said
    await wait_rolled_out(api, names.ref, within=120)
    agents_gone(kubectl, plan.session)


async def test_program_that_crashes(
    names: SessionNames, api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any
) -> None:
    said = await failure(api, names, replace(plan, command=("python3", "-c", "raise SystemExit(7)")))
    assert "container app ended again and again, last with status 7" in said
    assert "kubectl logs pod/orders-" in said


async def test_quota_forbids_pods(
    names: SessionNames, api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any
) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}}
    kubectl.apply(quota)
    kubectl("wait", "--for=jsonpath={.status.used.pods}=2", "resourcequota/q", "--timeout=60s")
    assert "exceeded quota: q" in await failure(api, names, plan)


async def test_missing_program(
    names: SessionNames, api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any
) -> None:
    said = await failure(api, names, replace(plan, command=("/no/such/python",)))
    assert "/no/such/python" in said


async def test_missing_secret(
    names: SessionNames, api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any
) -> None:
    said = await failure(api, names, replace(plan, secret="never-made"))
    assert 'secret "never-made" not found' in said
