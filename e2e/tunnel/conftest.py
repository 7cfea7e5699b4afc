"""A pod that runs the packed agent, and a tunnel to it through a real port-forward."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import Cluster as GivenCluster
from interceptor.kube import Cluster, load_access
from interceptor.kube.resources import NAMESPACES, PODS, SECRETS
from interceptor.tunnel.client import Tunnel, TunnelLost
from interceptor.tunnel.local import LocalSide
from interceptor.wire.reasons import Reason
from interceptor.wire.tls import TlsLayer
from interceptor.workload import zipapp
from interceptor.workload.authority import Authority
from tests.agent.running import HEALTH, SESSION, TUNNEL, write_folder

POD = "agent"


@dataclass(frozen=True)
class AgentPod:
    """Where the agent runs."""

    kubeconfig: Path
    namespace: str
    authority: Authority

    @asynccontextmanager
    async def tunnel(self, local: LocalSide) -> AsyncIterator[Tunnel]:
        """Through the API server; the kubelet may need a moment until the agent listens."""
        async with Cluster(load_access(str(self.kubeconfig))) as api, asyncio.timeout(60):
            tunnel = await self._greeted(api, local)
        try:
            yield tunnel
        finally:
            tunnel.close(Reason.CANCELLED)
            await tunnel.closed()

    async def _greeted(self, api: Cluster, local: LocalSide) -> Tunnel:
        while True:
            forward = await api.port_forward(self.namespace, POD, TUNNEL)
            inner = TlsLayer(self.authority.client_context(), server_side=False, server_hostname=SESSION)
            tunnel = Tunnel(SESSION, local)
            try:
                await tunnel.start(forward.sock, [*forward.layers, inner], forward.early)
            except TunnelLost:
                await tunnel.closed()
                await asyncio.sleep(0.2)
            else:
                return tunnel


@pytest.fixture(scope="module")
def agent_pod(cluster: GivenCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentPod]:
    place = AgentPod(cluster.kubeconfig, f"e2e-tunnel-{secrets.token_hex(2)}", Authority.create(SESSION))
    try:
        asyncio.run(_build(cluster, place, _files(place, tmp_path_factory.mktemp("agent"))))
        yield place
    finally:
        asyncio.run(_remove(place))


def _files(place: AgentPod, folder: Path) -> dict[str, str]:
    write_folder(folder, place.authority, {})
    (folder / "agent.pyz").write_bytes(zipapp.build())
    return {path.name: base64.b64encode(path.read_bytes()).decode() for path in folder.iterdir()}


async def _build(cluster: GivenCluster, place: AgentPod, files: dict[str, str]) -> None:
    container: dict[str, Any] = {
        "name": "app",
        "image": cluster.python_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-I", "/var/run/interceptor/agent.pyz"],
        "readinessProbe": {"httpGet": {"path": "/live", "port": HEALTH}, "periodSeconds": 1},
        "volumeMounts": [{"name": "agent", "mountPath": "/var/run/interceptor", "readOnly": True}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "agent", "secret": {"secretName": "agent"}}],
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    async with Cluster(load_access(str(place.kubeconfig))) as api:
        await api.create(NAMESPACES, None, {"metadata": {"name": place.namespace, "labels": labels}})
        await api.create(SECRETS, place.namespace, {"metadata": {"name": "agent"}, "data": files})
        await api.create(PODS, place.namespace, {"metadata": {"name": POD}, "spec": spec})
        async with asyncio.timeout(120), aclosing(api.watch(PODS, place.namespace)) as events:
            async for event in events:
                if event.type != "SYNCED" and _ready(event.object):
                    return
    raise AssertionError(f"the agent's pod is not ready: {json.dumps(spec)}")


async def _remove(place: AgentPod) -> None:
    async with Cluster(load_access(str(place.kubeconfig))) as api:
        await api.delete(NAMESPACES, None, place.namespace)


def _ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
