"""Pods whose proxies are processes of this machine, behind the tests' own API server."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from interceptor.kube import Cluster, load_access
from interceptor.mesh.loglevel.model import Sidecar
from interceptor.session.options import Access
from tests.mesh.api import MeshApi, free_port
from tests.mesh.cluster import DATA, kubeconfig

Object = dict[str, Any]

GIVEN = "warn,linkerd=info,hickory=error,[{headers}]=off,[{request}]=off"
# As a real one writes the same: see e2e/programs/linkerd_proxy.py.
FIRST = (
    "_access_log=off,hickory=error,linkerd=info,warn,[{headers}]=off,[{request}]=off,[{headers}]=off,[{request}]=off"
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where records are."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "interceptor" / "log-levels"


@pytest.fixture
def processes() -> Iterator[Callable[..., None]]:
    """Start a proxy and wait until it answers."""
    with ExitStack() as stack:

        def start(command: list[str], port: int, **environ: str) -> None:
            process = stack.enter_context(
                subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            stack.callback(process.terminate)
            deadline = time.monotonic() + 20
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5).close()
                except urllib.error.HTTPError as error:
                    error.close()
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                    continue
                return

        yield start


@pytest.fixture
def linkerd(api: MeshApi, processes: Callable[..., None]) -> Sidecar:
    """A pod of Linkerd's: a program that answers as a real proxy does."""
    api.proxy_port = free_port()
    command = [sys.executable, "-u", "-m", "e2e.programs.linkerd_proxy", str(api.proxy_port)]
    processes(command, api.proxy_port, LINKERD2_PROXY_LOG=GIVEN)
    return Sidecar(DATA, "orders-1", "linkerd-proxy", "containerd://1", "Linkerd", 4191, GIVEN)


@pytest.fixture
def envoy(api: MeshApi, processes: Callable[..., None], tmp_path: Path) -> Sidecar:
    """A pod of Envoy's: Envoy."""
    api.proxy_port = free_port()
    address = {"socket_address": {"address": "127.0.0.1", "port_value": api.proxy_port}}
    config = json.dumps({"admin": {"address": address}})
    program = str(Path(sys.executable).with_name("envoy"))
    command = [program, "--config-yaml", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
    processes([*command, "--component-log-level", "upstream:info"], api.proxy_port, HOME=str(tmp_path))
    return Sidecar(DATA, "gateway-1", "istio-proxy", "containerd://1", "Istio", 15000)


@pytest_asyncio.fixture
async def cluster(api: MeshApi, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(load_access(kubeconfig(tmp_path, api.url))) as cluster:
        yield cluster


@pytest.fixture
def access(api: MeshApi, tmp_path: Path) -> Access:
    """What a person would type to reach that cluster."""
    return Access(kubeconfig(tmp_path, api.url))


@pytest.fixture
def orders(api: MeshApi, linkerd: Sidecar) -> str:
    """A workload with that pod of Linkerd's."""
    template = {"metadata": {"labels": {"app": "orders"}}, "spec": {"containers": [{"name": "app", "image": "app"}]}}
    metadata = {"name": "orders", "namespace": DATA, "uid": "0"}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "orders"}}, "template": template}
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    api.objects = [(workload, DATA), (pod_of(linkerd), DATA)]
    return "deploy/orders"


def pod_of(sidecar: Sidecar) -> Object:
    """As the API has it."""
    state = {"name": sidecar.container, "state": {"running": {}}, "containerID": sidecar.instance, "ready": True}
    proxy = {
        "name": sidecar.container, "image": "proxy", "env": [{"name": "LINKERD2_PROXY_LOG", "value": sidecar.given}],
        "ports": [{"name": "linkerd-admin", "containerPort": sidecar.port}],
    }  # fmt: skip
    metadata = {"name": sidecar.pod, "namespace": sidecar.namespace, "uid": sidecar.pod, "labels": {"app": "orders"}}
    return copy.deepcopy(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, "resourceVersion": "1"},
            "spec": {"initContainers": [proxy], "containers": [{"name": "app", "image": "app"}]},
            "status": {"phase": "Running", "initContainerStatuses": [state]},
        }
    )
