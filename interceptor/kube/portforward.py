"""Opens a port-forward to one port of a pod: a socket and its layers, from which on `tunnel` owns both."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from interceptor.errors import InterceptorError
from interceptor.kube.access import Access
from interceptor.kube.credentials import Credential, explained
from interceptor.kube.errors import ApiError, Call, PortForwardFailed, Unauthorized, api_error, unreachable
from interceptor.kube.opening import Answer, Opening
from interceptor.kube.resources import PODS
from interceptor.wire.layer import Layer, LayerClosed, LayerError
from interceptor.wire.websocket import Masker, PortForwardLayer, xor_mask

try:
    from aiohttp._websocket.mask import _websocket_mask_cython as _fast_mask
except ImportError:  # a platform without aiohttp's C extensions: slow, but it works
    _fast_mask = xor_mask

_mask: Masker = _fast_mask

# Understood by every API server, old and new. The newer SPDY tunnel offers many connections in one WebSocket, which our
# own frames do better; v5 is for exec only and refused here.
PROTOCOL = "v4.channel.k8s.io"
_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


@dataclass
class PortForward:
    """An open port-forward. Whoever holds it closes `sock`.

    The socket is non-blocking, with TCP_NODELAY set and TCP_NOTSENT_LOWAT at 1 MiB where the platform has it. `layers`
    are outermost first. `early` is payload that came with the answer: nearly always empty.
    """

    sock: socket.socket
    layers: list[Layer]
    early: bytes


async def open_port_forward(access: Access, namespace: str, pod: str, port: int, *, within: float = 5.0) -> PortForward:
    """Open in at most `within` seconds; a 401 is answered with fresh credentials, once.

    That the pod listens on the port is not known yet: the API says so later, through the layer, as LayerError.
    """
    call = Call("create", PODS, namespace, pod, "portforward")
    path = f"{PODS.path(namespace, pod, 'portforward')}?ports={port}"
    credential = await access.source.current()
    try:
        return await _open(access, credential, path, call, within)
    except Unauthorized:
        renewed = await access.source.renew(credential)
        if renewed == credential:
            raise
        return await _open(access, renewed, path, call, within)


async def _open(access: Access, credential: Credential, path: str, call: Call, within: float) -> PortForward:
    opening = Opening(access)
    try:
        async with asyncio.timeout(within):
            await opening.connect(credential)
            early = await _upgrade(opening, access, credential, path, call)
    except InterceptorError:
        opening.abandon()
        raise
    except (OSError, ssl.SSLError, LayerError, LayerClosed) as error:  # TimeoutError is an OSError
        opening.abandon()
        raise unreachable(error, access.server, proxy=access.shown_proxy) from error
    except BaseException:
        opening.abandon()
        raise
    assert opening.sock is not None
    return PortForward(opening.sock, opening.layers, early)


async def _upgrade(opening: Opening, access: Access, credential: Credential, path: str, call: Call) -> bytes:
    server = urlsplit(access.server)
    key = base64.b64encode(os.urandom(16)).decode()
    headers = [
        ("Host", server.netloc.rpartition("@")[2]),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Protocol", PROTOCOL),
        *access.headers(credential),
    ]
    answer = await opening.ask(f"GET {server.path}{path} HTTP/1.1", headers)
    if answer.status != 101:
        raise explained(_refusal(answer, call), credential)
    accept = base64.b64encode(hashlib.sha1(key.encode() + _ACCEPT_SALT, usedforsecurity=False).digest()).decode()
    if answer.headers.get("Sec-WebSocket-Accept") != accept:
        raise LayerError("the answer to the WebSocket upgrade has a wrong Sec-WebSocket-Accept")
    if (chosen := answer.headers.get("Sec-WebSocket-Protocol")) != PROTOCOL:
        raise LayerError(f"the WebSocket speaks {chosen or 'no named protocol'} instead of {PROTOCOL}")
    layer = PortForwardLayer(_mask)
    opening.layers.append(layer)
    try:
        return bytes(layer.receive(memoryview(opening.unread())))
    except LayerError as error:  # it came in the same read as the upgrade; else `tunnel` is the one to hear it
        raise PortForwardFailed(f"can't {call}: {error.text}") from error


def _refusal(answer: Answer, call: Call) -> ApiError:
    if answer.status == 403 and not answer.body.strip():
        # What the WebSocket library of Kubernetes answers when it knows none of the offered protocols.
        return ApiError(
            f"can't {call}: the cluster does not speak {PROTOCOL}",
            status=403,
            call=call,
            hint="is there a proxy before the API server that changes WebSockets?",
        )
    if answer.status == 200:
        return ApiError(
            f"can't {call}: the answer was no WebSocket",
            status=200,
            call=call,
            hint="a proxy before the API server seems not to pass WebSockets",
        )
    return api_error(answer.status, answer.body, call)
