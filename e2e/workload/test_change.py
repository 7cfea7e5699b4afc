"""The swap on a real cluster: applied under others' hands, taken back exactly, with nothing left."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from e2e.kubectl import Kubectl
from e2e.workload.conftest import agents_gone
from interceptor.kube import Cluster, Conflict, resources
from interceptor.swap import AlreadySwapped, SwapPlan, precondition
from interceptor.workload.change import Undone, apply_swap, forget_revision, undo_swap
from interceptor.workload.objects import SessionNames
from interceptor.workload.rollout import session_of, wait_rolled_out


def essence(kubectl: Kubectl) -> Any:
    """What must be the same at the end: everything but counters."""
    found = kubectl.json("get", "deploy", "orders")
    annotations = dict(found["metadata"]["annotations"])
    annotations.pop("deployment.kubernetes.io/revision")
    return found["spec"], found["metadata"].get("labels"), annotations


async def test_swap_and_back(
    names: SessionNames, api: Cluster, kubectl: Kubectl, plan: SwapPlan, deployed: Any
) -> None:
    before = essence(kubectl)
    before_set = deployed["metadata"]["uid"], [s["metadata"]["name"] for s in kubectl.items("rs")]
    await apply_swap(api, names.ref, plan)
    await wait_rolled_out(api, names.ref, within=120)
    assert {session_of(pod) for pod in kubectl.pods("app=orders")} == {plan.session}
    with pytest.raises(AlreadySwapped, match="ana@laptop"):
        await apply_swap(api, names.ref, replace(plan, session="other"))
    assert await undo_swap(api, names.ref, "other") == Undone("nothing")
    assert await undo_swap(api, names.ref, plan.session) == Undone("restored")
    await wait_rolled_out(api, names.ref, within=120)
    agents_gone(kubectl, plan.session)
    assert {session_of(pod) for pod in kubectl.items("pods")} == {None}
    assert essence(kubectl) == before
    assert await forget_revision(api, names.ref, deployed, plan.session)
    assert (deployed["metadata"]["uid"], [s["metadata"]["name"] for s in kubectl.items("rs")]) == before_set
    assert await undo_swap(api, names.ref, plan.session) == Undone("nothing")


async def test_others_write_at_the_same_time(
    names: SessionNames, api: Cluster, kubectl: Kubectl, plan: SwapPlan, written: Any
) -> None:
    namespace = kubectl.namespace

    async def scribble(writer: int) -> None:
        for number in range(15):
            patch = {"metadata": {"labels": {f"writer-{writer}": str(number)}}}
            await api.patch(resources.DEPLOYMENTS, namespace, "orders", patch)

    for step in (apply_swap(api, names.ref, plan), undo_swap(api, names.ref, plan.session)):
        async with asyncio.TaskGroup() as group:
            for writer in range(3):
                group.create_task(scribble(writer), name=f"writer {writer}")
            group.create_task(step, name="the change")
    found = kubectl.json("get", "deploy", "orders")
    assert found["metadata"]["labels"] == {f"writer-{writer}": "14" for writer in range(3)}
    assert found["spec"]["template"] == written["spec"]["template"]
    assert "interceptor/swap" not in found["metadata"]["annotations"]


async def test_their_change_stays(
    names: SessionNames, api: Cluster, kubectl: Kubectl, plan: SwapPlan, written: Any
) -> None:
    await apply_swap(api, names.ref, replace(plan, image="never/pulled:1"))
    kubectl("set", "image", "deploy/orders", f"app={written['spec']['template']['spec']['containers'][0]['image']}-2")
    kubectl("set", "env", "deploy/orders", "THEIRS=1")
    undone = await undo_swap(api, names.ref, plan.session)
    assert undone == Undone("restored", ["spec.template.spec.containers[app].image"])
    [container] = kubectl.json("get", "deploy", "orders")["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith("-2")
    assert container["env"] == [{"name": "THEIRS", "value": "1"}]
    assert container["args"] == ["8080"]


async def test_deleted_meanwhile(
    names: SessionNames, api: Cluster, kubectl: Kubectl, plan: SwapPlan, written: Any
) -> None:
    await apply_swap(api, names.ref, plan)
    kubectl("delete", "deploy", "orders")
    assert await undo_swap(api, names.ref, plan.session) == Undone("gone")


async def test_stale_patch_is_refused(api: Cluster, kubectl: Kubectl, written: Any) -> None:
    kubectl("label", "deploy", "orders", "fresh=yes")
    patch = [
        precondition(written["metadata"]["resourceVersion"]),
        {"op": "replace", "path": "/spec/replicas", "value": 1},
    ]
    with pytest.raises(Conflict):
        await api.patch(resources.DEPLOYMENTS, kubectl.namespace, "orders", patch)
