"""Sends requests to the API server, with retries and fresh credentials, errors translated; `client` says what to ask.

What is retried, at most RETRIES times, after growing, jittered pauses or after what Retry-After says:
- any request answered 429, or 5xx with Retry-After: the server did not carry it out;
- 500, 502, 503, 504, or a connection that broke: only when repeating can do no harm (REPEATABLE);
- 401: once, and only if the credentials' source has something else to show.
A server that can't be reached at all is told at once: whoever can wait knows better how long.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from interceptor.kube.access import Access
from interceptor.kube.credentials import Credential, explained
from interceptor.kube.errors import ApiError, Call, Unreachable, api_error, unreachable
from interceptor.kube.opening import refused_by_proxy

RETRIES = 4
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
PASSING = frozenset({500, 502, 503, 504})
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
                pause = _pause(error, request.method, attempt)
                if attempt == RETRIES or pause is None:
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
        data = None if request.body is None else json.dumps(request.body).encode()
        with self._translated():
            credential = await self.access.source.current()
            response = await self._send(request, data, credential, limits)
            if response.status == 401:
                renewed = await self.access.source.renew(credential)
                if renewed != credential:
                    response.release()
                    response = await self._send(request, data, renewed, limits)
                    credential = renewed
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
            async with socket_:
                yield socket_

    async def _send(
        self, request: Request, data: bytes | None, credential: Credential, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        headers = [*self.access.headers(credential), ("Accept", "application/json")]
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
    return response


async def _refusal(response: aiohttp.ClientResponse, call: Call, credential: Credential) -> ApiError:
    error = api_error(response.status, await response.content.read(ERROR_LIMIT), call)
    try:
        error.retry_after = float(response.headers.get("Retry-After", ""))
    except ValueError:
        error.retry_after = None
    return explained(error, credential)


def _pause(error: ApiError | Unreachable, method: str, attempt: int) -> float | None:
    """How long to wait before the next attempt; None when there should be none."""
    if isinstance(error, ApiError):
        if error.retry_after is not None and (error.status == 429 or error.status >= 500):
            return min(error.retry_after, LONGEST_PAUSE) + random.uniform(0, FIRST_PAUSE)  # noqa: S311
        if error.status == 429:
            return backoff(attempt)
    passing = error.broke if isinstance(error, Unreachable) else error.status in PASSING
    return backoff(attempt) if passing and method in REPEATABLE else None


def backoff(attempt: int) -> float:
    """A pause that doubles with each attempt, half of it by chance so that clients don't march in step."""
    return min(FIRST_PAUSE * float(1 << attempt), LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311


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
