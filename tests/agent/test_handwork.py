"""Where no controller exchanges pods, a real agent does, through a real API: by the book, and tidy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from interceptor.swap import swap
from interceptor.swap.pod import carrier, lift
from tests.agent.api_server import PODS, ApiServer, plan
from tests.agent.running import APP, HEALTH, SESSION
from tests.agent.test_guard import guarded, lose_client, pod, until

Object = dict[str, Any]

APPS = "/apis/apps/v1/namespaces/shop"
STATEFUL_SET, REPLICA_SET = f"{APPS}/statefulsets/orders", f"{APPS}/replicasets/interceptor-{SESSION}"


class Controlled(ApiServer):
    """The same with one more object and pods that can be created and deleted; a deleted one comes back as the app."""

    def __init__(self, path: str, workload: Object) -> None:
        super().__init__()
        self.path, self.deployment = path, workload
        self.gone: list[str] = []
        self.created: list[Object] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.path.removeprefix(f"{PODS}/")
        match request.method, request.path:
            case "GET", self.path:
                return web.json_response(self.deployment)
            case "PATCH", self.path:
                return await self._patch(request)
            case "POST", path if path == PODS:
                return self._create(await request.json())
            case "DELETE", path if path.startswith(f"{PODS}/"):
                assert (await request.json())["preconditions"]["uid"] == f"uid-{name}"
                self.gone.append(name)
                self.pods = [one if one["metadata"]["name"] != name else member(name, ours=False) for one in self.pods]
                return web.json_response({"kind": "Status"})
            case "DELETE", path if "/controllerrevisions/" in path:
                self.forgotten.append(path.rpartition("/")[2])
                return web.json_response({"kind": "Status"})
        return await super().handle(request)

    def _create(self, body: Object) -> web.Response:
        if any(one["metadata"]["name"] == body["metadata"]["name"] for one in self.pods):
            return web.json_response({"message": "already exists"}, status=409)
        self.created.append(body)
        self.pods = [pod(body["metadata"]["name"], "127.0.0.1")]
        return web.json_response(body)


def member(name: str, *, ours: bool = True, ready: bool = True) -> Object:
    """A pod of the StatefulSet."""
    found = pod(name, "127.0.0.1" if ready else "", ours=ours)
    found["metadata"] |= {
        "uid": f"uid-{name}",
        "labels": {"controller-revision-hash": "orders-66f" if ours else "orders-5d9"},
    }
    found["metadata"]["ownerReferences"] = [{"kind": "StatefulSet", "name": "orders", "uid": "s", "controller": True}]
    return found


def stateful(strategy: str) -> Object:
    app = {"name": "app", "image": "orders:1", "ports": [{"containerPort": APP}]}
    return swap(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "orders", "namespace": "shop", "resourceVersion": "7"},
            "spec": {"replicas": 3, "updateStrategy": {"type": strategy}, "template": {"spec": {"containers": [app]}}},
        },
        plan(SESSION),
    )


@pytest.mark.slow
async def test_agents_delete_their_pods_in_order(tmp_path: Path) -> None:
    api = Controlled(STATEFUL_SET, stateful("OnDelete"))
    api.pods = [member("orders-0"), member("orders-1"), member("orders-2", ready=False)]
    async with guarded(tmp_path, api, kind="StatefulSet", workload=STATEFUL_SET) as agent:
        await lose_client(agent)
        await asyncio.wait_for(api.deleted.wait(), 20)
    assert api.gone == ["orders-2", "orders-1", "orders-0"]
    assert api.forgotten == ["orders-66f"]
    assert "interceptor/swap" not in api.deployment["metadata"].get("annotations", {})


@pytest.mark.slow
async def test_controllers_pods_are_left_to_them(tmp_path: Path) -> None:
    """But an ordered set goes on only when all are ready: so this one says it is, though nobody armed it."""
    api = Controlled(STATEFUL_SET, stateful("RollingUpdate"))
    api.pods = [member("orders-0")]
    async with guarded(tmp_path, api, kind="StatefulSet", workload=STATEFUL_SET) as agent:
        assert await readiness(agent.bind, HEALTH) == 200
        assert "the workload is restored" in agent.words
        assert api.gone == []
        api.pods = []
        await asyncio.wait_for(api.deleted.wait(), 30)


async def readiness(host: str, port: int) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


@pytest.mark.slow
async def test_bare_pod_is_made_again_first(tmp_path: Path) -> None:
    """Not while it is still ending; and the session goes only when it serves."""
    app = {"name": "app", "image": "orders:1", "ports": [{"containerPort": APP}]}
    solo = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "solo", "namespace": "shop"},
        "spec": {"containers": [app]},
    }
    stand_in = carrier(swap(lift(solo), plan(SESSION)), f"interceptor-{SESSION}", {}, {})
    api = Controlled(REPLICA_SET, {**stand_in, "metadata": {**stand_in["metadata"], "resourceVersion": "7"}})
    ending = pod("solo", "127.0.0.1")
    ending["metadata"]["deletionTimestamp"] = "2026-11-23T05:01:00Z"
    api.pods = [ending]
    async with guarded(tmp_path, api, kind="Pod", workload=REPLICA_SET) as agent:
        await lose_client(agent)
        await agent.says("pod solo is still ending")
        assert api.created == []
        assert api.job
        api.pods = []
        await until(lambda: api.created)
        await asyncio.wait_for(api.deleted.wait(), 30)
    assert json.dumps(api.created) == json.dumps([solo])
