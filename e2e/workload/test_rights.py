"""The printed Role is enough for a whole session, and each verb it lacks is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from e2e.kubectl import Kubectl
from e2e.workload.conftest import agents_gone
from e2e.workload.test_objects import all_gone, create_all
from interceptor.kube import Cluster, load_access, resources
from interceptor.swap import SwapPlan
from interceptor.workload import preflight
from interceptor.workload.allowed import MissingRights, missing
from interceptor.workload.change import Undone, apply_swap, forget_revision, undo_swap
from interceptor.workload.inspect import inspect
from interceptor.workload.kinds import DEPLOYMENT
from interceptor.workload.objects import SessionNames
from interceptor.workload.rights import needed
from interceptor.workload.role import role, yaml_of
from interceptor.workload.rollout import wait_rolled_out
from interceptor.workload.target import resolve


@pytest.fixture
async def developer(kubectl: Kubectl) -> AsyncIterator[Cluster]:
    """A user with the printed Role and nothing else."""
    kubectl("apply", "-f", "-", stdin=yaml_of([role(needed(DEPLOYMENT, "orders"), "interceptor", kubectl.namespace)]))
    kubectl("create", "rolebinding", "dev", "--role=interceptor", "--user=dev")
    async with Cluster(load_access(str(kubectl.kubeconfig), as_user="dev")) as cluster:
        yield cluster


async def test_printed_role_is_enough(
    developer: Cluster, kubectl: Kubectl, names: SessionNames, plan: SwapPlan, deployed: Any
) -> None:
    namespace = kubectl.namespace
    assert await missing(developer, namespace, needed(DEPLOYMENT, "orders")) == []
    kubectl("delete", "secret", names.object)
    workload = await resolve(developer, namespace, "deploy/orders")
    assert preflight.judge(workload, await preflight.look(developer, namespace)).errors == []
    assert (await inspect(developer, names.ref, workload, "app")).python
    await create_all(developer, names, 300)
    await developer.patch(resources.JOBS, namespace, names.object, {"spec": {"activeDeadlineSeconds": 330}})
    await developer.token(namespace, names.object, 600)
    await apply_swap(developer, names.ref, plan)
    await wait_rolled_out(developer, names.ref, within=120)
    assert await undo_swap(developer, names.ref, plan.session) == Undone("restored")
    await wait_rolled_out(developer, names.ref, within=120)
    agents_gone(kubectl, plan.session)
    assert await forget_revision(developer, names.ref, workload, plan.session)
    await developer.delete(resources.JOBS, namespace, names.object)
    await all_gone(kubectl, 60)


async def test_each_missing_verb_is_named(developer: Cluster, kubectl: Kubectl) -> None:
    rights = needed(DEPLOYMENT, "orders")
    removed = [right for right in rights if right.resource in (resources.SECRETS, resources.LEASES)]
    removed += [right for right in rights if right.subresource == "portforward" and right.verb == "create"]
    kept = [right for right in rights if right not in removed]
    kubectl("apply", "-f", "-", stdin=yaml_of([role(kept, "interceptor", kubectl.namespace)]))
    lacking = await missing(developer, kubectl.namespace, rights)
    assert set(lacking) == set(removed)
    words = str(MissingRights(kubectl.namespace, lacking, rbac="--for deploy/orders"))
    assert "create, get, list, watch, patch, delete leases.coordination.k8s.io" in words
    assert "create pods/portforward" in words
    assert "create, patch secrets" in words


async def test_other_namespace_is_refused(developer: Cluster) -> None:
    lacking = await missing(developer, "default", needed(DEPLOYMENT, "orders"))
    assert set(lacking) == set(needed(DEPLOYMENT, "orders"))
