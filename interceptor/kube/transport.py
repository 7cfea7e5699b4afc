"""Sends requests to the API server, with retries (`retry`), fresh credentials and errors translated; for `client`."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from interceptor.kube.access import Access
from interceptor.kube.credentials import Credential, explained
from interceptor.kube.errors import ApiError, Call, Unreachable, api_error, unreachable
from interceptor.kube.opening import refused_by_proxy
from interceptor.kube.retry import pause_before_retry

ERROR_LIMIT = 64 * 1024  # of an error's body


@dataclass(frozen=True)
class Request:
    """One request; `call` is the same in RBAC's words, for errors."""

    method: str
    path: str
    call: Call
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"


class Transport:
    """Connections to one API server."""

    def __init__(self, access: Access, *, connect: float = 5.0, total: float = 30.0) -> None:
        self.access = access
        self._connect = connect
        self._total = total
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=30),
            middlewares=(_keep_refusal,),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
        await asyncio.sleep(0)  # one pass of the loop, in which what was aborted closes its socket

    async def json(self, request: Request) -> Any:
        """Send and return the decoded answer."""
        body = await self.read(request)
        try:
            return json.loads(body)
        except ValueError as error:
            raise Unreachable(
                f"{self.access.server} answered something that is not JSON", hint="is it really an API server?"
            ) from error

    async def read(self, request: Request) -> bytes:
        """Send, retrying, and return the answer's body."""
        attempt = 0
        while True:
            try:
                async with self.open(request) as response:
                    return await response.read()
            except (ApiError, Unreachable) as error:
                pause = pause_before_retry(error, request.method, attempt)
                if pause is None:
                    raise
            attempt += 1
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def open(self, request: Request, *, silence: float | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send once and yield the response, if it is a success.

        With `silence` the answer may take for ever, as long as no pause in it is longer than that.
        """
        if silence is None:
            limits = aiohttp.ClientTimeout(total=self._total, sock_connect=self._connect)
        else:
            limits = aiohttp.ClientTimeout(total=None, sock_connect=self._connect, sock_read=silence)
        data = _encoded(request.body)
        with self._translated():
            credential = await self.access.source.current()
            response = await self._send(request, data, credential, limits)
            if response.status == 401:
                renewed = await self.access.source.renew(credential)
                if renewed != credential:
                    response.release()
                    response = await self._send(request, data, renewed, limits)
                    credential = renewed
            with _cut_off(response.connection and response.connection.transport):
                async with response:
                    if response.status >= 300:
                        raise await _refusal(response, request.call, credential)
                    yield response

    @asynccontextmanager
    async def websocket(
        self, path: str, call: Call, params: list[tuple[str, str]], protocols: tuple[str, ...]
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket; a 401 is answered with fresh credentials, once."""
        credential = await self.access.source.current()
        with self._translated():
            try:
                socket_ = await self._upgrade(path, params, protocols, credential)
            except _Refused as refused:
                renewed = credential if refused.status != 401 else await self.access.source.renew(credential)
                if renewed == credential:
                    raise refused.error(call, credential) from None
                try:
                    socket_ = await self._upgrade(path, params, protocols, renewed)
                except _Refused as again:
                    raise again.error(call, renewed) from None
            with _cut_off(_upgraded.get()):
                async with socket_:
                    yield socket_

    async def _send(
        self, request: Request, data: bytes | None, credential: Credential, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        headers = [*self.access.headers(credential), ("Accept", request.accept)]
        if data is not None:
            headers.append(("Content-Type", request.content_type))
        return await self._session.request(
            request.method,
            URL(self.access.server + request.path, encoded=True),
            params=request.params,
            data=data,
            headers=headers,
            timeout=limits,
            allow_redirects=False,
            **self._way(credential),
        )

    async def _upgrade(
        self, path: str, params: list[tuple[str, str]], protocols: tuple[str, ...], credential: Credential
    ) -> aiohttp.ClientWebSocketResponse:
        async with asyncio.timeout(self._connect):
            upgraded: aiohttp.ClientWebSocketResponse = await self._session.ws_connect(
                URL(self.access.server + path, encoded=True),
                params=params,
                protocols=protocols,
                headers=self.access.headers(credential),
                max_msg_size=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),  # how long a close waits for its answer
                **self._way(credential),
            )
            return upgraded

    def _way(self, credential: Credential) -> dict[str, Any]:
        """How the connection is made: part of every request, because a plugin may bring a new certificate."""
        way: dict[str, Any] = {"server_hostname": self.access.cluster.tls_server_name or None}
        if (context := self.access.tls(credential)) is not None:
            way["ssl"] = context
        if self.access.proxy:
            way["proxy"] = URL(self.access.proxy).with_user(None)
            way["proxy_headers"] = dict(self.access.proxy_headers())
        return way

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except aiohttp.ClientHttpProxyError as error:
            raise refused_by_proxy(self.access, error.status, error.message) from error
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise unreachable(_cause(error), self.access.server, proxy=self.access.shown_proxy) from error


def _encoded(body: Any) -> bytes | None:
    """An object as JSON, bytes as they are."""
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


class _Refused(Exception):
    """An upgrade that was answered with something else, kept whole: aiohttp throws the body away."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body

    def error(self, call: Call, credential: Credential) -> ApiError:
        """The error that the answer stands for."""
        return explained(api_error(self.status, self.body, call), credential)


async def _keep_refusal(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    response = await handler(request)
    if "Upgrade" in request.headers and response.status != 101:
        async with response:
            raise _Refused(response.status, await response.content.read(ERROR_LIMIT))
    if response.connection is not None:
        _upgraded.set(response.connection.transport)
    return response


# The transport below the WebSocket that this task opened last: aiohttp's middleware sees it, its WebSocket hides it.
_upgraded: ContextVar[asyncio.Transport | None] = ContextVar("upgraded", default=None)


@contextmanager
def _cut_off(transport: asyncio.Transport | None) -> Iterator[None]:
    """In the end close a connection that is not kept for later at once.

    TLS would wait for the server's answer to the close, with nobody to wait for it: aiohttp forgets such connections,
    and the socket may outlive the loop.
    """
    try:
        yield
    finally:
        if transport is not None and transport.is_closing():
            transport.abort()


async def _refusal(response: aiohttp.ClientResponse, call: Call, credential: Credential) -> ApiError:
    error = api_error(response.status, await response.content.read(ERROR_LIMIT), call)
    try:
        error.retry_after = float(response.headers.get("Retry-After", ""))
    except ValueError:
        error.retry_after = None
    return explained(error, credential)


def _cause(error: Exception) -> BaseException:
    """The error below aiohttp's."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return socket.gaierror(error.os_error.errno, error.os_error.strerror or str(error.os_error))
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)):
        return ConnectionResetError("closed in the middle of an answer")
    return error
