"""A small Kubernetes API over real TLS: one Deployment, one Lease, one session object, with resourceVersions and 409."""

from __future__ import annotations

import asyncio
import copy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from interceptor.devcluster.patch.jsonpatch import json_patch
from interceptor.swap import SwapPlan, swap
from tests.agent.running import APP, HEALTH, SESSION
from tests.certificates import Authority
from tests.leaving import clean_up

DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/orders"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/shop/leases/interceptor-deployment-orders"
JOB = f"/apis/batch/v1/namespaces/shop/jobs/interceptor-{SESSION}"
REPLICA_SETS = "/apis/apps/v1/namespaces/shop/replicasets/"
PODS = "/api/v1/namespaces/shop/pods"
TOKEN = "eyJ-token"


def deployment() -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "orders", "namespace": "shop", "resourceVersion": "7"},
        "spec": {
            "replicas": 2,
            "template": {
                "metadata": {"labels": {"app": "orders"}},
                "spec": {"containers": [{"name": "app", "image": "orders:1", "ports": [{"containerPort": APP}]}]},
            },
        },
    }


def plan(session: str) -> SwapPlan:
    return SwapPlan(
        session=session,
        container="app",
        command=("python3", "/var/run/interceptor/agent.pyz"),
        holder="ana@laptop",
        since="2026-11-23T05:00:00Z",
        health_port=HEALTH,
        secret=f"interceptor-{session}",
    )


class ApiServer:
    """What it holds, and what it was asked."""

    def __init__(self, session: str = SESSION) -> None:
        self.original = deployment()
        self.deployment = swap(deployment(), plan(session))
        self.lease: dict[str, Any] | None = {
            "metadata": {"name": "interceptor-deployment-orders"},
            "spec": {"holderIdentity": f"ana@laptop/{SESSION}", "renewTime": "2026-11-23T05:00:00.000000Z"},
        }
        self.pods: list[dict[str, Any]] = []
        self.job = True
        self.reads = 0  # of the Lease
        self.asked = 0  # anything, by anybody
        self.renewing = False  # whether somebody renews the Lease, between any two looks at it
        self.conflicts = 0  # patches yet to be answered with 409
        self.broken = ""  # what every request is answered with instead, if anything
        self.deleted = asyncio.Event()
        self.forgotten: list[str] = []  # ReplicaSets that were deleted, with the uid that was named
        self.port = 0

    @property
    def restored(self) -> bool:
        ours, theirs = copy.deepcopy(self.deployment), copy.deepcopy(self.original)
        for item in (ours, theirs):
            del item["metadata"]["resourceVersion"]
        return ours == theirs

    def renew(self, time: str) -> None:
        assert self.lease is not None
        self.lease["spec"]["renewTime"] = time

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.broken:
            return web.Response(status=502, text=self.broken) if self.broken != "html" else web.Response(text="<html>")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        match request.method, request.path:
            case "GET", path if path == LEASE:
                self.reads += 1
                if self.renewing:
                    self.renew(f"t{self.reads}")
                return web.json_response(self.lease) if self.lease else _missing()
            case "GET", path if path == DEPLOYMENT:
                return web.json_response(self.deployment)
            case "GET", path if path == PODS:
                return web.json_response({"items": self.pods})
            case "PATCH", path if path == DEPLOYMENT:
                return await self._patch(request)
            case "DELETE", path if path == JOB:
                if not self.job:
                    return _missing()
                self.job = False
                self.deleted.set()
                return web.json_response({"kind": "Status", "status": "Success"})
            case "DELETE", path if path.startswith(REPLICA_SETS):
                uid = (await request.json())["preconditions"]["uid"]
                self.forgotten.append(f"{path.removeprefix(REPLICA_SETS)}/{uid}")
                return web.json_response({"kind": "Status", "status": "Success"})
        return web.json_response({"message": "forbidden"}, status=403)

    async def _patch(self, request: web.Request) -> web.StreamResponse:
        assert request.content_type == "application/json-patch+json"
        operations = await request.json()
        metadata = self.deployment["metadata"]
        if self.conflicts:
            self.conflicts -= 1
            metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
            metadata.setdefault("labels", {})["touched"] = "by another"
            self.original["metadata"].setdefault("labels", {})["touched"] = "by another"
        named = next(item["value"] for item in operations if item["path"] == "/metadata/resourceVersion")
        if named != metadata["resourceVersion"]:
            return web.json_response({"message": "the object has been modified"}, status=409)
        self.deployment = json_patch(self.deployment, operations)
        version = str(int(metadata["resourceVersion"]) + 1)
        self.deployment["metadata"]["resourceVersion"] = version
        return web.json_response(self.deployment)


def _missing() -> web.Response:
    return web.json_response({"message": "not found"}, status=404)


@asynccontextmanager
async def serving_api(folder: Path, server: ApiServer) -> AsyncIterator[dict[str, str]]:
    """Serve, and write into `folder` what the agent needs for it; yields the agent's environment."""
    authority = Authority("cluster")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    context: ssl.SSLContext = authority.server_context(authority.leaf("api", "127.0.0.1"), folder)
    site = web.TCPSite(runner, "127.0.0.1", server.port, ssl_context=context)
    await site.start()
    assert site._server is not None
    sockets = site._server.sockets  # type: ignore[attr-defined]
    server.port = sockets[0].getsockname()[1]
    (folder / "cluster-ca.crt").write_bytes(authority.certificate)
    (folder / "token").write_text(TOKEN)
    try:
        yield {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    finally:
        await clean_up(runner)
