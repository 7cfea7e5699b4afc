"""An API server that answers from a list of objects, as late as a far one: real HTTP, real WebSockets to a real port."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import socket
from typing import Any

import aiohttp
from aiohttp import web

from tests.leaving import clean_up

Object = dict[str, Any]

# Where each kind lives.
_PATHS = {
    "Namespace": "/api/v1/namespaces", "Node": "/api/v1/nodes", "Pod": "/api/v1/pods", "Service": "/api/v1/services",
    "ConfigMap": "/api/v1/configmaps", "Secret": "/api/v1/secrets", "ServiceAccount": "/api/v1/serviceaccounts",
    "Event": "/api/v1/events", "Deployment": "/apis/apps/v1/deployments", "ReplicaSet": "/apis/apps/v1/replicasets",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices", "Job": "/apis/batch/v1/jobs",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "MutatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "ValidatingWebhookConfiguration": "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "VirtualService": "/apis/networking.istio.io/v1beta1/virtualservices",
    "DestinationRule": "/apis/networking.istio.io/v1beta1/destinationrules",
    "PeerAuthentication": "/apis/security.istio.io/v1beta1/peerauthentications",
    "AuthorizationPolicy": "/apis/security.istio.io/v1beta1/authorizationpolicies",
    "Lease": "/apis/coordination.k8s.io/v1/leases",
}  # fmt: skip
_EMPTY = ("/apis/apps/v1/statefulsets", "/apis/apps/v1/daemonsets", "/apis/coordination.k8s.io/v1/leases")


class MeshApi:
    """Objects by path; `delay` seconds before each answer, `slow` paths never answer, `refused` ones with 403."""

    def __init__(self, objects: list[tuple[Object, str]], *, delay: float = 0.0, version: str = "v1.34.4") -> None:
        self.objects = objects  # each with its namespace, "" for none
        self.delay = delay
        self.version = version
        self.slow: set[str] = set()
        self.refused: set[str] = set()
        self.forbidden: set[tuple[str, str, str]] = set()  # verb, plural, subresource that a review denies
        self.asked: list[str] = []
        self.date: datetime.datetime | None = None  # by its own clock, if that is not ours
        self.rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        self.proxy_port = 0  # of this machine: what every pod's port leads to
        self.url = ""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await clean_up(self._runner)

    def find(self, kind: str, name: str) -> Object:
        """An object to change."""
        return next(item for item, _ in self.objects if item["kind"] == kind and item["metadata"]["name"] == name)

    def remove(self, kind: str, name: str) -> None:
        self.objects = [pair for pair in self.objects if (pair[0]["kind"], pair[0]["metadata"]["name"]) != (kind, name)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.delay:
            await asyncio.sleep(self.delay)
        plural = _plural(request.path)
        if plural in self.slow:
            await asyncio.Event().wait()
        if plural in self.refused:
            namespace = _parts(request.path)[1]
            where = f' in the namespace "{namespace}"' if namespace else ""
            said = f'User "x" cannot list resource "{plural}" in API group ""{where}'
            return _status(403, "Forbidden", f"{plural} is forbidden: {said}")
        if request.path == "/version":
            headers = {"Date": email.utils.format_datetime(self.date, usegmt=True)} if self.date else None
            return web.json_response({"gitVersion": self.version}, headers=headers)
        if request.path.endswith("/portforward"):
            return await self._forward(request)
        if request.path.endswith("selfsubjectrulesreviews"):
            status = {"incomplete": bool(self.forbidden), "resourceRules": self.rules}
            return web.json_response({"status": status}, status=201)
        if request.path.endswith("selfsubjectaccessreviews"):
            asked = (await request.json())["spec"]["resourceAttributes"]
            right = asked["verb"], asked["resource"], asked.get("subresource", "")
            return web.json_response({"status": {"allowed": right not in self.forbidden}}, status=201)
        return self._read(request)

    def _read(self, request: web.Request) -> web.StreamResponse:
        root, namespace, name = _parts(request.path)
        of_kind = [(i, ns) for i, ns in self.objects if _PATHS.get(i["kind"]) == root]
        if name:
            found = next((i for i, ns in of_kind if i["metadata"]["name"] == name and ns == namespace), None)
            if found is None:
                return _status(404, "NotFound", f'{_plural(request.path)} "{name}" not found')
            return web.json_response(found)
        if root not in {*_PATHS.values(), *_EMPTY}:
            return _status(404, "NotFound", "the server could not find the requested resource")
        selector = request.query.get("labelSelector", "")
        items = [i for i, ns in of_kind if (not namespace or ns == namespace) and _selected(i, selector)]
        listing = {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}
        if request.query.get("watch"):
            return web.Response(text="")
        return web.json_response(listing)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        """`v4.channel.k8s.io` to a port of this machine."""
        upgraded = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await upgraded.prepare(request)
        port = int(request.query["ports"]).to_bytes(2, "little")
        await upgraded.send_bytes(b"\x00" + port)
        await upgraded.send_bytes(b"\x01" + port)
        if not self.proxy_port:
            await upgraded.send_bytes(b"\x01nobody listens there")
            await upgraded.close()
            return upgraded
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy_port)

        async def back() -> None:
            with contextlib.suppress(ConnectionError):  # the client may have seen enough
                while data := await reader.read(32 * 1024):
                    await upgraded.send_bytes(b"\x00" + data)
                await upgraded.close()

        async with asyncio.TaskGroup() as group:
            answering = group.create_task(back(), name="the pod's bytes")
            async for message in upgraded:
                if message.type is aiohttp.WSMsgType.BINARY and message.data[:1] == b"\x00":
                    writer.write(message.data[1:])
                    await writer.drain()
            answering.cancel()
        writer.close()
        return upgraded


def _parts(path: str) -> tuple[str, str, str]:
    """Its list for all namespaces, the namespace, the name."""
    steps = path.strip("/").split("/")
    root = steps[:2] if steps[0] == "api" else steps[:3]
    rest = steps[len(root) :]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return "/" + "/".join([*root, rest[0]]), namespace, rest[1] if len(rest) > 1 else ""


def _plural(path: str) -> str:
    return _parts(path)[0].rpartition("/")[2] if path.startswith("/api") else path


def _selected(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        key, equals, value = term.partition("=")
        if term.startswith("!"):
            if term[1:] in labels:
                return False
        elif key not in labels or (equals and labels[key] != value):
            return False
    return True


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
