"""One mesh for all tests of this folder, and each test's own way to break it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from e2e.cluster import Cluster, Unavailable
from e2e.kubectl import Kubectl
from e2e.mesh.installation import PROXY_IMAGE, VERSION, Installation
from e2e.mesh.states import Mesh, opened
from interceptor.mesh.check import facts
from interceptor.mesh.check.linkerd import proxy_state
from interceptor.mesh.check.workload import pods


@pytest.fixture(scope="package")
def installation(cluster: Cluster) -> Iterator[Installation]:
    try:
        cluster.named_like(f"{PROXY_IMAGE}:{VERSION}")  # old ones are only ghosts': no node runs them
    except Unavailable as reason:
        pytest.skip(str(reason))
    mark = secrets.token_hex(2)
    installed = Installation(f"e2e-mesh-{mark}", f"e2e-meshed-{mark}", cluster.python_image)
    control, data = (Kubectl(cluster.kubeconfig, name) for name in (installed.control, installed.data))
    crds = [item["metadata"]["name"] for item in installed.crds()]
    control("delete", "crds", "-l", "interceptor-e2e=mesh")  # a run that was killed may have left some, broken
    there = {item["metadata"]["name"] for item in control.items("crds")}
    made = [crd for crd in installed.crds() if crd["metadata"]["name"] not in there]
    try:
        labels = {"linkerd.io/is-control-plane": "true", "config.linkerd.io/admission-webhooks": "disabled"}
        control.apply(_namespace(installed.control, {**labels, **installed.labels()}, "disabled"), *made)
        data.apply(_namespace(installed.data, {}, "enabled"))
        control("wait", "--for=condition=Established", *(f"crd/{name}" for name in crds), "--timeout=30s")
        control.apply(*installed.cluster_wide())
        control.apply(*installed.control_plane())
        data.apply(*installed.workloads())
        control.rolled_out(*(f"deploy/linkerd-{name}" for name in ("destination", "identity", "proxy-injector")))
        data.rolled_out("deploy/orders", "deploy/client")
        yield installed
    finally:
        kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations,clusterroles,clusterrolebindings"
        control("delete", kinds, "-l", f"linkerd.io/control-plane-ns={installed.control}", "--wait=false", check=False)
        names = [crd["metadata"]["name"] for crd in made]
        control("delete", "namespace", installed.control, installed.data, "--wait=false", check=False)
        if names:
            control("delete", "crd", *names, "--wait=false", check=False)


def _namespace(name: str, labels: dict[str, str], inject: str) -> dict[str, object]:
    metadata = {"name": name, "labels": labels, "annotations": {"linkerd.io/inject": inject}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine answers late; what is tested is what is said, not how soon."""
    monkeypatch.setattr(facts, "WITHIN", 40.0)
    monkeypatch.setattr(proxy_state, "ANSWER", 30.0)
    monkeypatch.setattr(pods, "ANSWER", 30.0)


@pytest_asyncio.fixture
async def mesh(installation: Installation, cluster: Cluster) -> AsyncIterator[Mesh]:
    async with opened(installation, str(cluster.kubeconfig)) as mesh:
        yield mesh
