"""A server, a proxy and kubeconfigs for the tests of `kube`."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from interceptor.kube import Access, Cluster, load_access
from tests.certificates import Authority
from tests.kube.apiserver import ApiServer, Proxy

Kubeconfigs = Callable[..., Path]
Accesses = Callable[..., Access]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def server(authority: Authority, tmp_path: Path) -> AsyncIterator[ApiServer]:
    server = ApiServer()
    leaf = authority.leaf("api", "127.0.0.1", "localhost")
    await server.start(authority.server_context(leaf, tmp_path, ask_client=True))
    yield server
    await server.stop()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    await proxy.start()
    yield proxy
    await proxy.stop()


def kubeconfig(server: str, authority: bytes = b"", **settings: Any) -> dict[str, Any]:
    """A kubeconfig's content; `user` and `cluster` add settings."""
    cluster: dict[str, Any] = {"server": server}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    cluster.update(settings.get("cluster", {}))
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "jane", "user": settings.get("user", {"token": "secret"})}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "jane", "namespace": "shop"}}],
    }


@pytest.fixture
def access(server: ApiServer, authority: Authority, tmp_path: Path) -> Accesses:
    """Load an access to the server: `access(user={...}, cluster={...}, as_user=...)`."""

    def load(user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **options: Any) -> Access:
        content = kubeconfig(server.url, authority.certificate, cluster=cluster or {}, user=user or {"token": "secret"})
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(content))
        return load_access(str(path), **options)

    return load


@pytest.fixture
async def cluster(access: Accesses) -> AsyncIterator[Cluster]:
    async with Cluster(access(), total=5) as cluster:
        yield cluster
