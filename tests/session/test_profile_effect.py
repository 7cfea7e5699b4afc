"""What callers get, and whether their proxies took a change: asked of proxies that answer as recorded ones did."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from interceptor.kube import Cluster, load_access
from interceptor.mesh.profile.proof import Asked
from interceptor.mesh.sources.model import Query
from interceptor.session.options import Access
from interceptor.session.profile_effect import Effect
from interceptor.session.profile_words import comparison
from tests.leaving import clean_up
from tests.mesh.api import MeshApi
from tests.mesh.cluster import kubeconfig
from tests.mesh.profile.test_proof import dump

QUERY = Query("shop", "Service", "web", 0.05, "web")
DST = 'direction="outbound",dst="web.shop.svc.cluster.local:8080",rt_route="GET /slow"'
BEFORE = f"""
route_request_total{{{DST}}} 100
route_response_total{{{DST},status_code="200",classification="success",grpc_status="",error=""}} 100
route_response_latency_ms_bucket{{{DST},status_code="200",le="1000"}} 50
route_response_latency_ms_bucket{{{DST},status_code="200",le="2000"}} 100
route_response_latency_ms_bucket{{{DST},status_code="200",le="+Inf"}} 100
"""
AFTER = f"""
route_request_total{{{DST}}} 120
route_response_total{{{DST},status_code="200",classification="success",grpc_status="",error=""}} 115
route_response_total{{{DST},classification="failure",grpc_status="",error="timeout"}} 5
"""
TIMEOUT = Asked("GET /slow", "GET /slow", 0.3, None, None, False)


def pod(name: str, namespace: str = "shop", proxy: str = "linkerd-proxy") -> tuple[dict[str, Any], str]:
    metadata = {"name": name, "namespace": namespace}
    item = {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": proxy}]},
        "status": {"phase": "Running"},
    }
    return item, namespace


class Proxy:
    """What every pod's admin port answers."""

    def __init__(self) -> None:
        self.metrics = BEFORE
        self.dump: dict[str, Any] = {}

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/config_dump":
            return web.Response(text=json.dumps(self.dump))
        return web.Response(text=self.metrics)


@asynccontextmanager
async def following(
    tmp_path: Path, asked: Asked, *pods: tuple[dict[str, Any], str], query: Query = QUERY
) -> AsyncIterator[tuple[Effect, Proxy]]:
    proxy, app = Proxy(), web.Application()
    app.router.add_get("/{path:.*}", proxy.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api = MeshApi([*pods])
    api.proxy_port = runner.addresses[0][1]
    await api.start()
    config = kubeconfig(tmp_path, api.url)
    try:
        async with Cluster(load_access(config, namespace="shop")) as cluster:
            yield Effect(cluster, Access(config, namespace="shop"), query, asked), proxy
    finally:
        await api.stop()
        await clean_up(runner)


async def test_old_stands_beside_new(tmp_path: Path) -> None:
    async with following(tmp_path, TIMEOUT, pod("client")) as (effect, proxy):
        await effect.begin()
        proxy.metrics = BEFORE.replace("100", "110").replace(" 50", " 60")
        before = await effect.figures(0.05)
        assert before is not None
        assert before.route is not None
        assert (await effect.prove()).state == "open"
        proxy.metrics = AFTER
        now = await effect.figures(0.05)
        proof = await effect.prove()
    assert now is not None
    assert (proof.state, proof.text) == ("proven", "the caller's proxy took it: it ends what takes too long")
    words = comparison(before, now)
    assert words.startswith("GET /slow: success 100.0% -> 50.0%")
    assert "timeouts - -> 50.0%" in words
    assert now.to_json()["timeouts"] == 5


async def test_all_callers_must_have_taken_it(tmp_path: Path) -> None:
    """Pods that do not call the service are not waited for."""
    async with following(tmp_path, TIMEOUT, pod("a"), pod("b", "other"), pod("plain", proxy="app")) as (effect, proxy):
        await effect.begin()
        proxy.metrics = AFTER
        await effect.figures(0.05)
        assert (await effect.prove()).text.startswith("all 2 callers' proxies took it")
    silent = Query("shop", "Service", "carts", 0.05, "carts")
    async with following(tmp_path, TIMEOUT, pod("a"), query=silent) as (effect, _):
        await effect.begin()
        assert (await effect.prove()).state == "impossible"
        assert "none of 1 proxies has called carts yet" in effect.note


async def test_no_mesh_is_said(tmp_path: Path) -> None:
    async with following(tmp_path, TIMEOUT, pod("plain", proxy="app")) as (effect, _):
        await effect.begin()
        assert "no caller has a mesh proxy" in (await effect.prove()).text


async def test_envoy_shows_its_configuration(tmp_path: Path) -> None:
    asked = Asked("books-slow", "/slow", 0.3, None, None, False)
    query = Query("shop", "Service", "books", 0.05, "books")
    elsewhere = pod("theirs", "other", proxy="envoy")
    async with following(tmp_path, asked, pod("client", proxy="envoy"), elsewhere, query=query) as (effect, proxy):
        proxy.metrics = 'envoy_cluster_upstream_rq{envoy_cluster_name="books",envoy_response_code="200"} 3\n'
        await effect.begin()
        proxy.dump = dump("books-slow", timeout="15s")
        assert (await effect.prove()).text == "not taken yet by the proxy of client"
        proxy.dump = dump("books-slow")
        assert (await effect.prove()).state == "proven"
