from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from interceptor.devcluster.cluster import DevCluster
from interceptor.devcluster.faults import Rule
from tests.contract.api import Api
from tests.contract.manifests import config_map


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "Unauthorized"), (403, "Forbidden"), (409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError")],
)
async def test_rule_fails_requests(cluster: DevCluster, api: Api, status: int, reason: str) -> None:
    rule = cluster.faults.add(Rule(verb="list", resource="configmaps", status=status, count=2))
    for _ in range(2):
        code, answer = await api.call("GET", api.path("configmaps"))
        assert (code, answer["reason"]) == (status, reason)
    assert (await api.call("GET", api.path("configmaps")))[0] == 200
    assert rule.hits == 2


async def test_rule_hits_only_its_own(cluster: DevCluster, api: Api) -> None:
    await api.ok("POST", api.path("configmaps"), config_map("one"))
    cluster.faults.add(Rule(verb="get", resource="configmaps", name="two", status=500))
    cluster.faults.add(Rule(user="somebody", status=500))
    cluster.faults.add(Rule(resource="configmaps", subresource="status", status=500))
    assert (await api.call("GET", api.path("configmaps", "one")))[0] == 200
    assert (await api.call("GET", api.path("configmaps", "two")))[0] == 500
    cluster.faults.clear()
    assert (await api.call("GET", api.path("configmaps", "two")))[0] == 404


async def test_busy_server_says_when(cluster: DevCluster, api: Api) -> None:
    cluster.faults.add(Rule(verb="list", status=429, retry_after=7))
    async with api.raw("GET", api.path("pods")) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")


async def test_delay_is_felt(cluster: DevCluster, api: Api) -> None:
    cluster.faults.add(Rule(verb="list", delay=0.3, count=1))
    began = time.monotonic()
    await api.ok("GET", api.path("pods"))
    assert time.monotonic() - began >= 0.3


async def test_cut_watch_closes_cleanly(cluster: DevCluster, api: Api) -> None:
    async with api.watch(api.path("configmaps")) as events:
        await anext(events)
        assert cluster.faults.cut("watch", "configmaps", how="close") == 1
        async with asyncio.timeout(20):
            assert [event async for event in events if event["type"] != "ADDED"] == []


async def test_reset_watch_breaks(cluster: DevCluster, api: Api) -> None:
    async with api.watch(api.path("configmaps")) as events, asyncio.timeout(20):
        await anext(events)
        assert cluster.faults.cut("watch") == 1
        with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
            await anext(events)


async def test_compaction_makes_watch_old(cluster: DevCluster, api: Api) -> None:
    version = (await api.get(api.path("configmaps")))["metadata"]["resourceVersion"]
    await api.ok("POST", api.path("configmaps"), config_map("one"))
    cluster.store.compact()
    async with api.watch(api.path("configmaps"), resourceVersion=version) as events:
        assert (await anext(events))["object"]["code"] == 410


async def test_faults_by_http(cluster: DevCluster, api: Api) -> None:
    """Other processes inject faults too: the admin's certificate is enough."""
    await api.ok("POST", "/faults", {"verb": "list", "resource": "secrets", "status": 500, "count": 1})
    assert (await api.call("GET", api.path("secrets")))[0] == 500
    assert (await api.get("/faults"))["rules"][0]["hits"] == 1
    assert (await api.call("POST", "/faults", {"nonsense": 1}))[0] == 400
    assert (await api.ok("DELETE", "/faults"))["rules"] == []
