from __future__ import annotations

import asyncio
import socket
import ssl
import time
from pathlib import Path

import pytest
from aiohttp import web

from interceptor.kube import (
    ApiError,
    Cluster,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    retry,
)
from interceptor.kube.resources import PODS
from tests.certificates import Authority
from tests.kube.apiserver import ApiServer, Handler, Proxy, status
from tests.kube.conftest import Accesses
from tests.kube.plugins import certificate_answer, exec_user, plugin, runs

POD = "/api/v1/namespaces/shop/pods/web"
FOUND = (200, {"metadata": {"name": "web"}})


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.01)


def later(code: int, seconds: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(status(code)[1], status=code, headers={"Retry-After": seconds})

    return answer


async def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never(_: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


@pytest.mark.usefixtures("short_pauses")
async def test_passing_failures_are_retried(cluster: Cluster, server: ApiServer) -> None:
    server.answer(f"GET {POD}", status(500), status(503), cut, later(429, "0"), FOUND)
    assert (await cluster.get(PODS, "shop", "web"))["metadata"]["name"] == "web"
    assert len(server.seen) == 5


@pytest.mark.usefixtures("short_pauses")
async def test_retries_end(cluster: Cluster, server: ApiServer) -> None:
    server.answer(f"GET {POD}", status(500, "InternalError", "etcd is down"))
    with pytest.raises(ApiError, match="etcd is down"):
        await cluster.get(PODS, "shop", "web")
    assert len(server.seen) == 1 + retry.RETRIES


@pytest.mark.usefixtures("short_pauses")
async def test_changes_are_not_repeated(cluster: Cluster, server: ApiServer) -> None:
    server.answer(f"PATCH {POD}", status(500))
    with pytest.raises(ApiError):
        await cluster.patch(PODS, "shop", "web", {})
    server.answer(f"PATCH {POD}", cut)
    with pytest.raises(Unreachable, match="broke the connection"):
        await cluster.patch(PODS, "shop", "web", {})
    assert len(server.seen) == 2


@pytest.mark.usefixtures("short_pauses")
async def test_busy_server_is_obeyed(cluster: Cluster, server: ApiServer) -> None:
    server.answer(f"PATCH {POD}", later(429, "1"), later(503, "0"), FOUND)
    began = time.monotonic()
    await cluster.patch(PODS, "shop", "web", {})
    assert time.monotonic() - began >= 1
    server.answer(f"PATCH {POD}", later(429, "0"))
    with pytest.raises(TooManyRequests):
        await cluster.patch(PODS, "shop", "web", {})


async def test_refused_credentials_are_renewed(access: Accesses, server: ApiServer, tmp_path: Path) -> None:
    async def second_only(request: web.Request) -> web.Response:
        code = 200 if request.headers["Authorization"] == "Bearer 2" else 401
        return web.json_response({}, status=code)

    server.answer(f"GET {POD}", second_only)
    user = exec_user(plugin(tmp_path, "answer(token=str(runs))"))
    async with Cluster(access(user=user)) as cluster:
        await asyncio.gather(*[cluster.get(PODS, "shop", "web") for _ in range(5)])
        await cluster.get(PODS, "shop", "web")
    assert runs(tmp_path) == 2


async def test_refused_for_good_is_told(cluster: Cluster, server: ApiServer) -> None:
    server.answer(f"GET {POD}", status(401, "Unauthorized", "Unauthorized"))
    with pytest.raises(Unauthorized, match="can't get pods 'web' in namespace shop: Unauthorized; log in again"):
        await cluster.get(PODS, "shop", "web")
    assert len(server.seen) == 1


async def test_plugin_certificate_reaches_the_server(
    access: Accesses, server: ApiServer, authority: Authority, tmp_path: Path
) -> None:
    server.answer(f"GET {POD}", FOUND)
    leaf = authority.leaf("jane-of-the-plugin")
    user = exec_user(plugin(tmp_path, certificate_answer(leaf.certificate, leaf.key)))
    async with Cluster(access(user=user)) as cluster:
        await cluster.get(PODS, "shop", "web")
    assert server.seen[0].certificate == "jane-of-the-plugin"


async def test_impersonation_is_sent(access: Accesses, server: ApiServer) -> None:
    server.answer(f"GET {POD}", FOUND)
    async with Cluster(access(as_user="ops", as_groups=("devs",))) as cluster:
        await cluster.get(PODS, "shop", "web")
    assert server.seen[0].headers["Impersonate-User"] == "ops"
    assert server.seen[0].headers["Impersonate-Group"] == "devs"


async def test_proxy_is_used(access: Accesses, server: ApiServer, proxy: Proxy) -> None:
    server.answer(f"GET {POD}", FOUND)
    proxy.password = "p@ss"
    way = {"proxy-url": f"http://me:p%40ss@127.0.0.1:{proxy.port}"}
    async with Cluster(access(cluster=way)) as cluster:
        await cluster.get(PODS, "shop", "web")
    assert proxy.targets == [f"127.0.0.1:{server.port}"]
    assert "Authorization" not in proxy.headers[0]


async def test_refusing_proxy_is_named(access: Accesses, proxy: Proxy) -> None:
    proxy.password = "other"
    async with Cluster(access(cluster={"proxy-url": f"http://me:wrong@127.0.0.1:{proxy.port}"})) as cluster:
        with pytest.raises(Unreachable, match=r"proxy 127.0.0.1:.* refused: 407 .*check user and password"):
            await cluster.version()


async def test_server_name_can_be_set(access: Accesses, server: ApiServer) -> None:
    server.answer(f"GET {POD}", FOUND)
    async with Cluster(access(cluster={"tls-server-name": "localhost"})) as cluster:
        await cluster.get(PODS, "shop", "web")
    async with Cluster(access(cluster={"tls-server-name": "elsewhere"})) as cluster:
        with pytest.raises(Unreachable, match=r"certificate for another name .*; set tls-server-name"):
            await cluster.get(PODS, "shop", "web")


async def test_verification_can_be_skipped(access: Accesses, server: ApiServer) -> None:
    server.answer(f"GET {POD}", FOUND)
    way = {"insecure-skip-tls-verify": True, "certificate-authority-data": ""}
    async with Cluster(access(cluster=way)) as cluster:
        await cluster.get(PODS, "shop", "web")


async def served(context: ssl.SSLContext | None, load: Accesses, words: str) -> None:
    """Start a server of its own, and expect `words` from a request to it."""
    server = ApiServer()
    await server.start(context)
    try:
        async with Cluster(load(cluster={"server": f"https://127.0.0.1:{server.port}"})) as cluster:
            with pytest.raises(Unreachable, match=words):
                await cluster.version()
    finally:
        await server.stop()


async def test_bad_certificates_are_told_apart(access: Accesses, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority("a stranger")
    other = stranger.server_context(stranger.leaf("api", "127.0.0.1"), tmp_path)
    await served(other, access, "signed by an authority that the kubeconfig does not know")
    old = authority.server_context(authority.leaf("api", "127.0.0.1", expired=True), tmp_path)
    await served(old, access, "shows a certificate that has expired; renew it")
    elsewhere = authority.server_context(authority.leaf("api", "10.0.0.1"), tmp_path)
    await served(elsewhere, access, "shows a certificate for another name")
    await served(None, access, "does the kubeconfig's server address begin with the right")


async def test_lax_authorities_are_accepted(access: Accesses, tmp_path: Path) -> None:
    lax = Authority("from before the extensions", strict=False)
    server = ApiServer()
    await server.start(lax.server_context(lax.leaf("api", "127.0.0.1"), tmp_path))
    server.answer(f"GET {POD}", FOUND)
    (tmp_path / "lax.crt").write_bytes(lax.certificate)
    way = {"server": server.url, "certificate-authority-data": "", "certificate-authority": str(tmp_path / "lax.crt")}
    async with Cluster(access(cluster=way)) as cluster:
        await cluster.get(PODS, "shop", "web")
    await server.stop()


async def test_closed_port_is_told(access: Accesses) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with Cluster(access(cluster={"server": f"https://127.0.0.1:{port}"})) as cluster:
        with pytest.raises(Unreachable, match=f"API server 127.0.0.1:{port} refused the connection; is the cluster"):
            await cluster.version()


async def test_unknown_name_is_told(access: Accesses, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)  # so that no question leaves the machine
    async with Cluster(access(cluster={"server": "https://api.test:6443"})) as cluster:
        with pytest.raises(Unreachable, match=r"name of api.test:6443 does not resolve: Name or service not known"):
            await cluster.version()
        with pytest.raises(Unreachable, match=r"name of api.test:6443 does not resolve: Name or service not known"):
            await cluster.port_forward("shop", "web", 80)


async def test_silent_server_is_told(access: Accesses, server: ApiServer) -> None:
    server.answer("GET /version", never)
    async with Cluster(access(), total=0.3) as cluster:
        with pytest.raises(Unreachable, match="did not answer in time"):
            await cluster.version()


async def test_page_instead_of_json_is_told(cluster: Cluster, server: ApiServer) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    server.answer("GET /version", page)
    with pytest.raises(Unreachable, match="not JSON; is it really an API server"):
        await cluster.version()
