"""A bare client for the contract: statuses and bodies as they come, with no code of ours between test and cluster."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from interceptor.kube.access import load_access

Object = dict[str, Any]
IMAGE = "ground/python:3.11"
JSON_PATCH, MERGE, STRATEGIC = (
    f"application/{kind}+json" for kind in ("json-patch", "merge-patch", "strategic-merge-patch")
)
APPLY = "application/apply-patch+yaml"


class Api:
    """One cluster, one namespace of the test's own."""

    def __init__(self, session: aiohttp.ClientSession, server: str, tls: Any, namespace: str, kubeconfig: str) -> None:
        self._session = session
        self.server = server
        self._tls = tls
        self.namespace = namespace
        self.kubeconfig = kubeconfig
        self.headers: dict[str, str] = {}

    def path(self, plural: str, name: str = "", sub: str = "", group: str = "") -> str:
        root = f"/apis/{group}" if group else "/api/v1"
        return "/".join(part for part in (f"{root}/namespaces/{self.namespace}/{plural}", name, sub) if part)

    async def call(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **params: str
    ) -> tuple[int, Object]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": kind} | self.headers
        async with self._session.request(
            method, self.server + path, data=data, headers=headers, params=params, ssl=self._tls
        ) as response:
            return response.status, await response.json()

    async def text(self, path: str) -> tuple[int, str]:
        async with self._session.get(self.server + path, headers=self.headers, ssl=self._tls) as response:
            return response.status, (await response.text()).strip()

    async def ok(
        self, method: str, path: str, body: Any = None, *, kind: str = "application/json", **params: str
    ) -> Object:
        status, answer = await self.call(method, path, body, kind=kind, **params)
        assert status < 300, answer
        return answer

    async def get(self, path: str) -> Object:
        return await self.ok("GET", path)

    async def eventually(
        self, ask: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool], within: float = 45.0
    ) -> Any:
        """Ask until the answer is as wanted."""
        deadline = time.monotonic() + within
        while True:
            answer = await ask()
            if wanted(answer):
                return answer
            assert time.monotonic() < deadline, f"still {json.dumps(answer)[:2000]}"
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def watch(self, path: str, **params: str) -> AsyncIterator[AsyncIterator[Object]]:
        """Open a watch and give its events."""
        async with self._session.get(
            self.server + path,
            params={"watch": "true", "timeoutSeconds": "20"} | params,
            headers=self.headers,
            ssl=self._tls,
        ) as response:
            assert response.status == 200, await response.text()

            async def events() -> AsyncIterator[Object]:
                async for line in response.content:
                    yield json.loads(line)

            yield events()

    @asynccontextmanager
    async def raw(self, method: str, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._session.request(method, self.server + path, headers=self.headers, ssl=self._tls) as response:
            yield response

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[aiohttp.StreamReader]:
        async with self._session.get(self.server + path, headers=self.headers, ssl=self._tls) as response:
            assert response.status == 200, await response.text()
            yield response.content

    @asynccontextmanager
    async def websocket(self, path: str, protocol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self._session.ws_connect(
            self.server + path, protocols=[protocol], headers=self.headers, ssl=self._tls, max_msg_size=0
        ) as socket:
            assert socket.protocol == protocol
            yield socket

    def acting_as(self, token: str) -> Api:
        """The same cluster and namespace with a bearer token and no client certificate."""
        assert self._tls is not None
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        other = Api(self._session, self.server, tls, self.namespace, self.kubeconfig)
        other.headers = {"Authorization": f"Bearer {token}"}
        return other


@asynccontextmanager
async def open_api(kubeconfig: str, namespace: str, *, until_gone: bool = True) -> AsyncIterator[Api]:
    access = load_access(kubeconfig)
    credential = await access.source.current()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        api = Api(session, access.server, access.tls(credential), namespace, kubeconfig)
        api.headers = dict(access.headers(credential))
        await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        await api.eventually(
            lambda: api.call("GET", api.path("serviceaccounts", "default")), lambda answer: answer[0] == 200
        )
        try:
            yield api
        finally:
            await api.ok("DELETE", f"/api/v1/namespaces/{namespace}")
        if until_gone and "127." in api.server:  # quick on the dev cluster; a real one takes its time
            await api.eventually(
                lambda: api.call("GET", f"/api/v1/namespaces/{namespace}"), lambda answer: answer[0] == 404
            )
