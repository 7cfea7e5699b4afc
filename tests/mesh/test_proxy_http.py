"""Asking a proxy over a port-forward: a real process with a real certificate behind it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import e2e.mesh
from e2e.mesh.installation import Installation
from interceptor.kube import Cluster, load_access
from interceptor.mesh import certificates, proxy_http
from interceptor.mesh.proxy_http import ProxyUnreachable
from tests.mesh.api import MeshApi, free_port
from tests.mesh.cluster import DATA, kubeconfig

POD = "web-d4fff7cfd-7pzcw"


@pytest_asyncio.fixture
async def cluster(api: MeshApi, installed: Installation, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster all of whose pods are one process on this machine."""
    source = Path(e2e.mesh.__file__).parent
    for name in ("proxy.py", "metrics.prom"):
        shutil.copy(source / name, tmp_path)
    pair = installed.proxy_certificate(DATA)
    (tmp_path / "proxy.py").write_text((source / "proxy.py").read_text().replace("/certificate", str(tmp_path)))
    (tmp_path / "tls.crt").write_text(pair.pem)
    (tmp_path / "tls.key").write_text(pair.key)
    api.proxy_port = free_port()
    command = [sys.executable, "-u", str(tmp_path / "proxy.py"), str(api.proxy_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220  (nothing else runs yet)
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        async with Cluster(load_access(kubeconfig(tmp_path, api.url))) as cluster:
            yield cluster
        process.terminate()


async def test_metrics_come_whole(cluster: Cluster) -> None:
    answer = await proxy_http.ask(cluster, DATA, POD, "/metrics")
    assert answer.status == 200
    assert answer.text == (Path(e2e.mesh.__file__).parent / "metrics.prom").read_text()


async def test_state_is_set(cluster: Cluster) -> None:
    body = json.dumps({"ready": 503}).encode()
    assert (await proxy_http.ask(cluster, DATA, POD, "/test", method="PUT", body=body)).status == 204
    assert (await proxy_http.ask(cluster, DATA, POD, "/ready")).status == 503


async def test_certificate_is_seen(cluster: Cluster, installed: Installation) -> None:
    shown = await proxy_http.certificate(cluster, DATA, POD, installed.identity(DATA))
    assert certificates.dns_names(shown) == [installed.identity(DATA)]


async def test_nobody_there_is_said(cluster: Cluster, api: MeshApi) -> None:
    api.proxy_port = 0
    with pytest.raises(ProxyUnreachable, match=f"port 4191 of pod {POD}"):
        await proxy_http.ask(cluster, DATA, POD, "/ready", within=20)


async def test_silence_has_an_end(cluster: Cluster, api: MeshApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api.proxy_port = silent.getsockname()[1]
        with pytest.raises(ProxyUnreachable, match=r"no answer within 0\.3 s"):
            await proxy_http.ask(cluster, DATA, POD, "/ready", within=0.3)
