"""From what was typed to the Deployment, and helpful words where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.kubectl import Kubectl
from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, load_access
from interceptor.workload.missing import NoSuchWorkload, Unsupported
from interceptor.workload.target import resolve


@pytest.fixture
def objects(kubectl: Kubectl, written: Any) -> Any:
    """The same without a pod."""
    kubectl("expose", "deploy/orders", "--name=shop", "--port=80", "--target-port=http")
    return written


@pytest.fixture
def shop(kubectl: Kubectl, deployed: Any) -> Any:
    kubectl("expose", "deploy/orders", "--name=shop", "--port=80", "--target-port=http")
    return deployed


async def test_every_spelling_finds_it(api: Cluster, kubectl: Kubectl, shop: Any) -> None:
    pod = kubectl.pods("app=orders")[0]["metadata"]["name"]
    made = kubectl.items("rs")[0]["metadata"]["name"]
    for text in ("orders", "deploy/orders", "svc/shop", "shop", f"pod/{pod}", f"rs/{made}"):
        found = await resolve(api, kubectl.namespace, text)
        assert found["metadata"]["uid"] == shop["metadata"]["uid"], text


async def test_did_you_mean(api: Cluster, kubectl: Kubectl, objects: Any) -> None:
    with pytest.raises(NoSuchWorkload, match=r"no deployment 'oders' in namespace .*; did you mean orders\?"):
        await resolve(api, kubectl.namespace, "deploy/oders")
    with pytest.raises(NoSuchWorkload, match=r"no deployment or service 'shopp' .*; did you mean shop\?"):
        await resolve(api, kubectl.namespace, "shopp")


async def test_it_is_elsewhere(api: Cluster, kubectl: Kubectl, objects: Any) -> None:
    name = kubectl.namespace.replace("e2e", "only-here")
    kubectl("create", "deployment", name, "--image=x", "--replicas=0")
    with pytest.raises(NoSuchWorkload, match=f"in namespace default; it is in namespace {kubectl.namespace}"):
        await resolve(api, "default", name)


async def test_lists_forbidden(kubectl: Kubectl, objects: Any) -> None:
    kubectl("create", "role", "look", "--verb=get", "--resource=deployments.apps,services")
    kubectl("create", "rolebinding", "look", "--role=look", "--user=ben")
    async with Cluster(load_access(str(kubectl.kubeconfig), as_user="ben")) as ben:
        with pytest.raises(NoSuchWorkload, match="no deployment 'oders' in namespace"):
            await resolve(ben, kubectl.namespace, "deploy/oders")


async def test_other_kinds_are_told(api: Cluster, kubectl: Kubectl) -> None:
    with pytest.raises(Unsupported, match="Job db can't be intercepted: its pods do their work and end"):
        await resolve(api, kubectl.namespace, "job/db")
    kubectl("create", "service", "externalname", "far", "--external-name=example.org")
    with pytest.raises(InterceptorError, match="selects no pods of its own"):
        await resolve(api, kubectl.namespace, "svc/far")
