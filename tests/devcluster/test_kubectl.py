"""The real kubectl against the dev cluster."""

from __future__ import annotations

import json

import pytest

from interceptor.devcluster.cluster import DevCluster
from tests.contract.manifests import HTTP, SLEEP, deployment, python
from tests.devcluster.conftest import Kubectl

PROBE = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
WEB = {"apiVersion": "apps/v1", "kind": "Deployment"} | deployment(
    "web", python(HTTP, readinessProbe=PROBE, ports=[{"containerPort": 8080}]), terminationGracePeriodSeconds=1
)


async def test_kubectl_rolls_out(kubectl: Kubectl) -> None:
    assert await kubectl.ok("apply", "-f", "-", stdin=WEB) == "deployment.apps/web created\n"
    assert "successfully rolled out" in await kubectl.ok("rollout", "status", "deploy/web", "--timeout=20s")
    assert await kubectl.ok("apply", "-f", "-", stdin=WEB) == "deployment.apps/web unchanged\n"
    table = (await kubectl.ok("get", "deploy,rs,pods")).splitlines()
    rows = [line.split()[1] for line in table if "/web" in line]
    assert rows == ["1/1", "1", "1/1"]
    await kubectl.ok("set", "env", "deploy/web", "WORD=bye")
    assert "successfully rolled out" in await kubectl.ok("rollout", "status", "deploy/web", "--timeout=20s")
    assert "2 " in (await kubectl.ok("rollout", "history", "deploy/web"))
    await kubectl.ok("rollout", "undo", "deploy/web")
    assert "successfully rolled out" in await kubectl.ok("rollout", "status", "deploy/web", "--timeout=20s")
    assert "ScalingReplicaSet" in await kubectl.ok("describe", "deploy", "web")
    await kubectl.ok("delete", "deploy", "web")
    assert (await kubectl("get", "deploy", "web")).code == 1


async def test_kubectl_applies_server_side(kubectl: Kubectl) -> None:
    assert "serverside-applied" in await kubectl.ok("apply", "--server-side", "-f", "-", stdin=WEB)
    assert "serverside-applied" in await kubectl.ok("apply", "--server-side", "-f", "-", stdin=WEB)
    assert json.loads(await kubectl.ok("get", "deploy", "web", "-o", "json"))["spec"]["replicas"] == 1
    await kubectl.ok("scale", "deploy/web", "--replicas=0")
    assert await kubectl.ok("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "0"


async def test_kubectl_reaches_into_pods(kubectl: Kubectl) -> None:
    await kubectl.ok("run", "one", "--image=python:3.13-slim", "--command", "--", "sh", "-c", f"echo hello; {SLEEP[2]}")
    await kubectl.ok("wait", "--for=condition=Ready", "pod/one", "--timeout=10s")
    assert await kubectl.ok("logs", "one") == "hello\n"
    assert (await kubectl("exec", "one", "--", "sh", "-c", "exit 7")).code == 7
    assert await kubectl.ok("exec", "-i", "one", "--", "cat", stdin={"a": 1}) == '{"a": 1}'
    assert "Running" in await kubectl.ok("get", "pod", "one", "-o", "wide")
    await kubectl.ok("delete", "pod", "one", "--now")


async def test_kubectl_creates(kubectl: Kubectl) -> None:
    """These commands send protobuf."""
    for words in (
        "namespace other", "configmap settings --from-literal=a=b", "secret generic keys --from-literal=a=b",
        "serviceaccount agent", "role reader --verb=get --resource=pods,deployments.apps",
        "rolebinding reader --role=reader --serviceaccount=default:agent", "service clusterip db --tcp=5432:5432",
        "deployment plain --image=python:3.13-slim --replicas=0 --port=80",
    ):  # fmt: skip
        assert "created" in await kubectl.ok("create", *words.split())
    assert (await kubectl.ok("create", "token", "agent")).count(".") == 2
    assert await kubectl.ok("get", "cm", "settings", "-o", "jsonpath={.data.a}") == "b"
    assert await kubectl.ok("get", "svc", "db", "-o", "jsonpath={.spec.ports[0].targetPort}") == "5432"
    agent = "--as=system:serviceaccount:default:agent"
    assert await kubectl.ok("auth", "can-i", "get", "pods", agent) == "yes\n"
    denied = await kubectl("auth", "can-i", "delete", "pods", agent)
    assert (denied.code, denied.out) == (1, "no\n")
    assert "deployments.apps" in await kubectl.ok("auth", "can-i", "--list", agent)
    assert "dev-admin" in await kubectl.ok("auth", "whoami")


async def test_kubectl_hears_refusals(kubectl: Kubectl) -> None:
    done = await kubectl("get", "pods", "--as=bob")
    assert done.code == 1
    assert 'User "bob" cannot list resource "pods" in API group "" in the namespace "default"' in done.err
    missing = await kubectl("create", "job", "j", "--image=x")
    assert "the dev cluster can't do that" in missing.err


@pytest.mark.parametrize("path", ["/api/v1/namespaces/default/persistentvolumeclaims", "/api/v1/watch/pods"])
async def test_what_it_lacks_is_501(cluster: DevCluster, kubectl: Kubectl, path: str) -> None:
    done = await kubectl("get", "--raw", path)
    assert done.code == 1
    assert "the dev cluster can't do that" in done.err


@pytest.mark.slow
async def test_kubectl_watches(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "configmap", "one")
    done = await kubectl("get", "cm", "-w", "--request-timeout=5")
    assert any(line.startswith("one ") for line in done.out.splitlines())
    assert done.out.count("NAME") == 1
