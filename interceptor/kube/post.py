"""Sends bytes to the API and reads bytes for as long as they come: how an extension's own API streams; for `client`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from interceptor.kube.errors import Call
from interceptor.kube.transport import Request, Transport

_BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Posted:
    """An answer that is a success, as far as HTTP knows; header names in any case."""

    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


@asynccontextmanager
async def open_post(
    transport: Transport, path: str, call: Call, body: bytes, *, silence: float
) -> AsyncIterator[Posted]:
    """See `Cluster.post`. Raises ApiError and Unreachable, the latter after a silence too, also while it is read."""
    request = Request("POST", path, call, body=body, content_type=_BYTES, accept="*/*")
    async with transport.open(request, silence=silence) as response:
        yield Posted(response.headers, response.content.iter_any())
