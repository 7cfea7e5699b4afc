"""Talks to one port of a pod over a port-forward: HTTP for a proxy's admin port, TLS to see its certificate.

Port-forward and not the API server's pod proxy, because proxies answer some of their paths to loopback only. Used by the
checks, and by everything that reads or sets a proxy's state. One connection a request: they are few, and far apart.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cryptography import x509

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, PortForwardFailed
from interceptor.wire.layer import Layer, LayerClosed, LayerError
from interceptor.wire.tls import TlsLayer

ADMIN_PORT = 4191  # Linkerd's
WITHIN = 5.0
LIMIT = 32 * 1024 * 1024  # a proxy with very many series has some megabytes
_READ = 256 * 1024


class ProxyUnreachable(InterceptorError):
    """The pod's port gave no answer that can be used; the text says at which hop."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


class Pipe:
    """Bytes to and from the pod's port; `open_pipe` makes one."""

    def __init__(self, sock: socket.socket, layers: list[Layer], early: bytes) -> None:
        self._sock = sock
        self.layers = layers
        self._early = early
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Send through all layers."""
        for layer in reversed(self.layers):
            data = bytes(layer.send(data))
        await self._loop.sock_sendall(self._sock, data)

    async def receive(self) -> bytes:
        """The next bytes, empty at the end."""
        if self._early:
            early, self._early = self._early, b""
            return early
        while True:
            data = await self._loop.sock_recv(self._sock, _READ)
            try:
                view = memoryview(data)
                for index, layer in enumerate(self.layers):
                    view = layer.receive(view)
                    await self._answer(layer, index)
            except LayerClosed:
                return b""
            if view or not data:
                return bytes(view)

    async def secure(self, context: ssl.SSLContext, name: str) -> TlsLayer:
        """Add TLS on top; returns once the handshake is done."""
        layer = TlsLayer(context, server_side=False, server_hostname=name)
        await self.send(layer.pending())
        while not layer.ready:
            data = await self.receive()
            if not data:
                raise ProxyUnreachable("the connection ended in the middle of the TLS handshake")
            try:
                layer.receive(memoryview(data))
            finally:
                if pending := layer.pending():
                    await self.send(pending)
        self.layers.append(layer)
        return layer

    async def _answer(self, layer: Layer, index: int) -> None:
        """Send what a layer itself wants to say: a pong, a key update."""
        data = layer.pending()
        for outer in reversed(self.layers[:index]):
            data = bytes(outer.send(data)) if data else b""
        if data:
            await self._loop.sock_sendall(self._sock, data)


@asynccontextmanager
async def open_pipe(
    cluster: Cluster, namespace: str, pod: str, port: int, *, within: float = WITHIN
) -> AsyncIterator[Pipe]:
    """A connection to a pod's port, for at most `within` seconds. Raises ProxyUnreachable and what `kube` raises."""
    where = f"port {port} of pod {pod}"
    try:
        async with asyncio.timeout(within):
            forward = await cluster.port_forward(namespace, pod, port)
            try:
                yield Pipe(forward.sock, forward.layers, forward.early)
            finally:
                forward.sock.close()
    except TimeoutError as error:
        raise ProxyUnreachable(f"{where} gave no answer within {within:g} s") from error
    except LayerError as error:
        raise ProxyUnreachable(f"{where}: {error.text}") from error
    except PortForwardFailed as error:
        raise ProxyUnreachable(f"{where}: {error.message.rpartition(': ')[2]}") from error
    except (OSError, ssl.SSLError) as error:
        raise ProxyUnreachable(f"{where}: {error}") from error


async def ask(
    cluster: Cluster,
    namespace: str,
    pod: str,
    path: str,
    *,
    port: int = ADMIN_PORT,
    method: str = "GET",
    body: bytes = b"",
    within: float = WITHIN,
) -> Answer:
    """One HTTP request to a pod's port, and its answer whatever the status."""
    head = [
        f"{method} {path} HTTP/1.1",
        f"Host: localhost:{port}",
        "Connection: close",
        "Accept-Encoding: gzip",
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    async with open_pipe(cluster, namespace, pod, port, within=within) as pipe:
        await pipe.send("\r\n".join(head).encode() + body)
        received = bytearray()
        whole = None  # how to know that the answer is complete, once its head is there
        while whole is None or not whole(received):
            data = await pipe.receive()
            if not data:
                break
            received += data
            whole = whole or _completeness(received)
            if len(received) > LIMIT:
                raise ProxyUnreachable(f"the answer of port {port} of pod {pod} has more than {LIMIT >> 20} MiB")
        if whole is None:
            raise ProxyUnreachable(f"port {port} of pod {pod} did not answer HTTP")
        return _answer(bytes(received))


async def certificate(
    cluster: Cluster, namespace: str, pod: str, name: str, *, port: int = ADMIN_PORT, within: float = WITHIN
) -> x509.Certificate:
    """The certificate that the pod's port shows to who asks for `name`; trusted or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is looked at, nothing is sent
    async with open_pipe(cluster, namespace, pod, port, within=within) as pipe:
        layer = await pipe.secure(context, name)
        shown = layer.tls.getpeercert(binary_form=True)
    if not shown:
        raise ProxyUnreachable(f"port {port} of pod {pod} shows no certificate")
    return x509.load_der_x509_certificate(shown)


class _Received:
    """What `http.client` takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _completeness(received: bytearray) -> Callable[[bytearray], bool] | None:
    """Whether all of an answer is there: a question that can be asked as soon as its head is."""
    end = received.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    response = http.client.HTTPResponse(_Received(bytes(received[:end])))  # type: ignore[arg-type]
    try:
        response.begin()
    except http.client.HTTPException as error:
        raise ProxyUnreachable(f"the answer is not HTTP: {type(error).__name__}") from error
    if response.chunked:
        return lambda so_far: so_far.endswith(b"0\r\n\r\n")
    length = response.length
    return lambda so_far: length is not None and len(so_far) >= end + length


def _answer(received: bytes) -> Answer:
    response = http.client.HTTPResponse(_Received(received))  # type: ignore[arg-type]
    try:
        response.begin()
        headers = {key.lower(): value for key, value in response.getheaders()}
        body = response.read()
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
    except http.client.IncompleteRead as error:
        raise ProxyUnreachable("the answer ended too early") from error
    except (http.client.HTTPException, OSError, EOFError, zlib.error) as error:
        raise ProxyUnreachable(f"the answer can't be read: {type(error).__name__}") from error
    return Answer(response.status, headers, body)
