"""The session object: it takes everything with it, by itself when nobody pushes its deadline."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from e2e.kubectl import Kubectl
from interceptor.kube import Cluster, load_access, resources
from interceptor.workload import objects
from interceptor.workload.lease import acquire
from interceptor.workload.objects import SessionNames


async def create_all(api: Cluster, names: SessionNames, deadline: int) -> Any:
    created = await api.create(resources.JOBS, names.namespace, objects.job(names, deadline))
    owner = objects.owner_reference(created)
    await acquire(api, names, owner, "ana@laptop")
    await api.create(resources.SERVICE_ACCOUNTS, names.namespace, objects.service_account(names, owner))
    await api.create(resources.ROLES, names.namespace, objects.role(names, owner, {"kind": "Deployment", "spec": {}}))
    await api.create(resources.ROLE_BINDINGS, names.namespace, objects.role_binding(names, owner))
    config = objects.config(names, holder="ana@laptop", tunnel_port=1, health_port=2, ports=())
    await api.create(resources.SECRETS, names.namespace, objects.secret(names, owner, {"config.json": config}))
    return created


def left(kubectl: Kubectl) -> list[str]:
    kinds = "jobs,leases,serviceaccounts,roles,rolebindings,secrets,pods"
    return [item["metadata"]["name"] for item in kubectl.items(kinds) if "interceptor-" in item["metadata"]["name"]]


async def all_gone(kubectl: Kubectl, within: float) -> None:
    async with asyncio.timeout(within):
        while await asyncio.to_thread(left, kubectl):  # noqa: ASYNC110 (the cluster sets no event of ours)
            await asyncio.sleep(0.2)


async def test_session_object_takes_all(api: Cluster, kubectl: Kubectl, names: SessionNames) -> None:
    await create_all(api, names, 300)
    assert len(left(kubectl)) == 6
    await api.delete(resources.JOBS, names.namespace, names.object)
    await all_gone(kubectl, 90)


async def test_dead_mans_switch(api: Cluster, kubectl: Kubectl, names: SessionNames) -> None:
    """Also where no pod may be created and only `restricted` ones would be."""
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    hard = {"pods": "0", "limits.cpu": "0", "requests.memory": "0"}
    kubectl.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}})
    await create_all(api, names, 15)
    await asyncio.sleep(2)
    await api.patch(resources.JOBS, names.namespace, names.object, {"spec": {"activeDeadlineSeconds": 120}})
    await asyncio.sleep(14)
    assert len(left(kubectl)) == 6  # the first deadline is over, the pushed one is not
    await api.patch(resources.JOBS, names.namespace, names.object, {"spec": {"activeDeadlineSeconds": 18}})
    await all_gone(kubectl, 90)


async def test_agents_rights_are_these(api: Cluster, kubectl: Kubectl, names: SessionNames) -> None:
    await create_all(api, names, 300)
    token, _ = await api.token(names.namespace, names.object, 3600)
    assert token.count(".") == 2
    agent = f"system:serviceaccount:{names.namespace}:{names.object}"
    async with Cluster(load_access(str(kubectl.kubeconfig), as_user=agent)) as pod:
        for verb, resource, name, allowed in (
            ("get", resources.DEPLOYMENTS, "orders", True),
            ("patch", resources.DEPLOYMENTS, "orders", True),
            ("delete", resources.DEPLOYMENTS, "orders", False),
            ("patch", resources.DEPLOYMENTS, "other", False),
            ("get", resources.LEASES, names.lease, True),
            ("patch", resources.LEASES, names.lease, False),
            ("delete", resources.JOBS, names.object, True),
            ("delete", resources.JOBS, "other", False),
            ("get", resources.SECRETS, names.object, False),
        ):
            assert (await pod.allowed(verb, resource, names.namespace, name=name))[0] is allowed, (verb, resource)


def test_config_names_real_paths(names: SessionNames) -> None:
    config = json.loads(objects.config(names, holder="a", tunnel_port=1, health_port=2, ports=()))
    assert config["workload"] == f"/apis/apps/v1/namespaces/{names.namespace}/deployments/orders"
    assert config["lease"].endswith("/leases/interceptor-deployment-orders")
    assert config["owner"].endswith(f"/jobs/interceptor-{names.session}")
