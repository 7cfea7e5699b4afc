"""Opens a raw socket to the API server, through proxy and TLS, up to an HTTP answer; `portforward` builds on it.

By hand and not through aiohttp, because the socket must afterwards be a plain one: `tunnel` drives it with its own
reads and writes, which is where its speed comes from.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import socket
import ssl
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from interceptor.kube.access import Access
from interceptor.kube.credentials import Credential
from interceptor.kube.errors import Unreachable
from interceptor.wire.layer import Layer, LayerClosed, LayerError
from interceptor.wire.tls import TlsLayer

READ = 64 * 1024
ANSWER_LIMIT = 64 * 1024
# As much as the tunnel's pace has on its way: with 64 KiB each message went out in pieces, at twice the CPU (measured).
NOTSENT_LOWAT = 1024 * 1024
_TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", {"linux": 25, "darwin": 0x201}.get(sys.platform))


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `body` is empty when the connection goes on as something else."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes


class Opening:
    """A socket on its way to an upgraded connection; `sock` and `layers` (outermost first) are taken over in the end."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.sock: socket.socket | None = None
        self.layers: list[Layer] = []
        self._unread = b""

    async def connect(self, credential: Credential) -> None:
        """Reach the API server: TCP, the proxy's CONNECT if there is one, TLS."""
        access = self._access
        server = urlsplit(access.server)
        host, port = server.hostname or "", server.port or (443 if server.scheme == "https" else 80)
        if access.proxy:
            proxy = urlsplit(access.proxy)
            secure = proxy.scheme == "https"
            await self._dial(proxy.hostname or "", proxy.port or (443 if secure else 80))
            if secure:
                await self._start_tls(ssl.create_default_context(), proxy.hostname or "")
            await self._tunnel_through(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        else:
            await self._dial(host, port)
        if (context := access.tls(credential)) is not None:
            await self._start_tls(context, access.cluster.tls_server_name or host)

    async def ask(self, request: str, headers: list[tuple[str, str]]) -> Answer:
        """Send a request and read the answer: its head when it is 1xx or 2xx, else its body too."""
        lines = [request, *(f"{name}: {value}" for name, value in headers), "", ""]
        await self.send("\r\n".join(lines).encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += await self._more(received)
        head, blank, rest = received.partition(b"\r\n\r\n")
        response = _parse(head + blank)
        if response.status < 300:
            self._unread = rest
            return Answer(response.status, response.reason, response.headers, b"")
        while True:
            try:
                body = _parse(received).read()
            except http.client.IncompleteRead:
                received += await self._more(received)
            else:
                return Answer(response.status, response.reason, response.headers, body)

    def unread(self) -> bytes:
        """What came behind the head of the last answer."""
        unread, self._unread = self._unread, b""
        return unread

    async def send(self, data: bytes) -> None:
        """Send through all layers."""
        assert self.sock is not None
        for layer in reversed(self.layers):
            data = bytes(layer.send(data))
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def abandon(self) -> None:
        """Close the socket of an opening that failed."""
        if self.sock is not None:
            self.sock.close()

    async def _dial(self, host: str, port: int) -> None:
        """Connect to the first of the name's addresses that answers."""
        loop = asyncio.get_running_loop()
        try:  # an address needs no resolver, which would be a thread
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        problem: OSError | None = None
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if _TCP_NOTSENT_LOWAT is not None:
                    sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)
                last = index == len(addresses) - 1
                async with asyncio.timeout(None if last else 1.5):  # so that a dead IPv6 route leaves time for IPv4
                    await loop.sock_connect(sock, address)
            except OSError as error:  # TimeoutError is one
                sock.close()
                problem = error
            except BaseException:
                sock.close()
                raise
            else:
                self.sock = sock
                return
        raise problem or OSError(f"{host} has no address")

    async def _tunnel_through(self, target: str) -> None:
        headers = [("Host", target), *self._access.proxy_headers()]
        response = await self.ask(f"CONNECT {target} HTTP/1.1", headers)
        if response.status != 200:
            raise refused_by_proxy(self._access, response.status, response.reason)

    async def _start_tls(self, context: ssl.SSLContext, hostname: str) -> None:
        layer = TlsLayer(context, server_side=False, server_hostname=hostname)
        await self.send(layer.pending())
        while not layer.ready:
            data = await self._receive()
            try:
                layer.receive(memoryview(data))  # nothing to keep: in HTTP the server never speaks first
            finally:
                if pending := layer.pending():  # our Finished, or the alert that says why not
                    await self.send(pending)
        self.layers.append(layer)

    async def _more(self, answer: bytes) -> bytes:
        if len(answer) > ANSWER_LIMIT:
            raise LayerError("the answer is not HTTP, or too long")
        return await self._receive()

    async def _receive(self) -> bytes:
        """Wait for bytes that come out of the innermost layer."""
        assert self.sock is not None
        loop = asyncio.get_running_loop()
        while True:
            data = await loop.sock_recv(self.sock, READ)
            if not data:
                raise ConnectionResetError("closed in the middle of the opening")
            view = memoryview(data)
            for layer in self.layers:
                try:
                    view = layer.receive(view)
                except LayerClosed as end:
                    raise ConnectionResetError(end.text) from end
            if view:
                return bytes(view)


def refused_by_proxy(access: Access, status: int, reason: str) -> Unreachable:
    """A proxy's own answer to CONNECT."""
    hint = "check user and password in proxy-url" if status == 407 else "check proxy-url in the kubeconfig"
    return Unreachable(f"the proxy {access.shown_proxy} refused: {status} {reason}".rstrip(), hint=hint)


class _Received:
    """What `http.client` takes for a socket: bytes that are all there."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _parse(data: bytes) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]
    try:
        response.begin()
    except http.client.HTTPException as error:
        raise LayerError(f"the answer is not HTTP: {type(error).__name__}") from error
    return response
