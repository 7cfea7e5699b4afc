from __future__ import annotations

import asyncio
import base64
import gc
import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from interceptor.kube import (
    Access,
    ApiError,
    Forbidden,
    NotFound,
    PortForward,
    PortForwardFailed,
    Unauthorized,
    Unreachable,
)
from interceptor.kube.portforward import PROTOCOL, open_port_forward
from interceptor.wire.layer import EMPTY, LayerClosed, LayerError
from tests.certificates import Authority
from tests.kube.apiserver import ApiServer, Handler, Proxy, status
from tests.kube.conftest import Accesses
from tests.kube.plugins import exec_user, plugin

PATH = "GET /api/v1/namespaces/shop/pods/web/portforward"
PORT = (8080).to_bytes(2, "little")


def pod(*first: bytes, protocol: str = PROTOCOL, error: str = "") -> Handler:
    """A port that says `first` and then echoes."""

    async def serve(request: web.Request) -> web.StreamResponse:
        stream = web.WebSocketResponse(protocols=[protocol], max_msg_size=65536, compress=False)
        await stream.prepare(request)
        await stream.send_bytes(b"\x00" + PORT)
        await stream.send_bytes(b"\x01" + PORT)
        for words in first:
            await stream.send_bytes(b"\x00" + words)
        if error:
            await stream.send_bytes(b"\x01" + error.encode())
        async for message in stream:
            assert message.type is WSMsgType.BINARY
            assert message.data[0] == 0
            await stream.send_bytes(message.data)
        return stream

    return serve


class Talk:
    """Drives a port-forward's socket and layers, as the tunnel does."""

    def __init__(self, forward: PortForward) -> None:
        self.forward = forward
        self.heard = forward.early

    async def say(self, words: bytes) -> None:
        data: Any = words
        for layer in reversed(self.forward.layers):
            data = layer.send(data)
        await asyncio.get_running_loop().sock_sendall(self.forward.sock, data)

    async def hear(self, length: int) -> bytes:
        loop, sock, layers = asyncio.get_running_loop(), self.forward.sock, self.forward.layers
        async with asyncio.timeout(20):
            while len(self.heard) < length:
                for index in range(len(layers)):
                    if pending := layers[index].pending():
                        for layer in reversed(layers[:index]):
                            pending = bytes(layer.send(pending))
                        await loop.sock_sendall(sock, pending)
                view = memoryview(await loop.sock_recv(sock, 65536))
                try:
                    for layer in layers:
                        view = layer.receive(view)
                except LayerClosed:
                    layers[-1].receive(EMPTY)  # which may have the reason
                    raise
                self.heard += view
        heard, self.heard = self.heard[:length], self.heard[length:]
        return heard

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.forward.sock.close()


async def opened(access: Access, **options: Any) -> Talk:
    return Talk(await open_port_forward(access, "shop", "web", 8080, **options))


async def test_words_pass_both_ways(access: Accesses, server: ApiServer) -> None:
    server.answer(PATH, pod())
    words = bytes(range(256)) * 2000
    with await opened(access(as_user="ops", as_groups=("devs",))) as talk:
        await talk.say(words[:5])
        assert await talk.hear(5) == words[:5]
        async with asyncio.TaskGroup() as group:
            group.create_task(talk.say(words), name="say")
            assert await talk.hear(len(words)) == words
    seen = server.seen[0]
    assert seen.query == {"ports": "8080"}
    assert seen.headers["Authorization"] == "Bearer secret"
    assert seen.headers["Impersonate-User"] == "ops"
    assert seen.headers["Impersonate-Group"] == "devs"
    assert seen.headers["Host"] == f"127.0.0.1:{server.port}"


async def test_socket_is_tuned(access: Accesses, server: ApiServer) -> None:
    server.answer(PATH, pod())
    with await opened(access()) as talk:
        sock = talk.forward.sock
        assert sock.gettimeout() == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, 25) == 1024 * 1024  # TCP_NOTSENT_LOWAT on Linux


async def test_first_words_of_the_pod_are_kept(access: Accesses, server: ApiServer) -> None:
    server.answer(PATH, pod(b"welcome"))
    with await opened(access()) as talk:
        assert await talk.hear(7) == b"welcome"


async def test_client_certificate_is_shown(access: Accesses, server: ApiServer, authority: Authority) -> None:
    leaf = authority.leaf("jane-of-the-certificate")
    server.answer(PATH, pod())
    user = {
        "client-certificate-data": base64.b64encode(leaf.certificate).decode(),
        "client-key-data": base64.b64encode(leaf.key).decode(),
    }
    with await opened(access(user=user)):
        assert server.seen[0].certificate == "jane-of-the-certificate"


async def test_proxy_is_used(access: Accesses, server: ApiServer, proxy: Proxy) -> None:
    server.answer(PATH, pod())
    proxy.password = "p@ss"
    with await opened(access(cluster={"proxy-url": f"http://me:p%40ss@127.0.0.1:{proxy.port}"})) as talk:
        await talk.say(b"words")
        assert await talk.hear(5) == b"words"
    assert proxy.targets == [f"127.0.0.1:{server.port}"]
    assert "Authorization" not in proxy.headers[0]


async def test_refusing_proxy_is_named(access: Accesses, proxy: Proxy) -> None:
    proxy.password = "other"
    with pytest.raises(Unreachable, match=r"the proxy 127.0.0.1:\d+ refused: 407 Proxy Authentication Required"):
        await opened(access(cluster={"proxy-url": f"http://me:wrong@127.0.0.1:{proxy.port}"}))


async def test_plain_http_needs_no_tls(access: Accesses) -> None:
    plain = ApiServer()
    await plain.start(None)
    plain.answer(PATH, pod())
    with await opened(access(cluster={"server": plain.url})) as talk:
        assert len(talk.forward.layers) == 1
        await talk.say(b"words")
        assert await talk.hear(5) == b"words"
    await plain.stop()


async def test_path_before_the_api_is_kept(access: Accesses, server: ApiServer) -> None:
    server.answer("GET /k8s/clusters/c-1" + PATH.removeprefix("GET "), pod())
    with await opened(access(cluster={"server": f"{server.url}/k8s/clusters/c-1"})) as talk:
        await talk.say(b"words")
        assert await talk.hear(5) == b"words"


async def test_pods_error_is_verbatim(access: Accesses, server: ApiServer) -> None:
    text = "error forwarding port 8080 to pod x: connection refused"
    server.answer(PATH, pod(error=text))
    # It may come in one read with the answer to the opening, or after it.
    with pytest.raises((LayerError, PortForwardFailed), match=text), await opened(access()) as talk:
        await talk.hear(1)


async def test_end_is_told(access: Accesses, server: ApiServer) -> None:
    async def end(request: web.Request) -> web.StreamResponse:
        stream = web.WebSocketResponse(protocols=[PROTOCOL])
        await stream.prepare(request)
        await stream.send_bytes(b"\x00" + PORT + b"bye")
        await stream.close(code=1000)
        return stream

    server.answer(PATH, end)
    with await opened(access()) as talk:
        assert await talk.hear(3) == b"bye"
        with pytest.raises(LayerClosed, match="1000"):
            await talk.hear(1)


async def test_refused_credentials_are_renewed(access: Accesses, server: ApiServer, tmp_path: Path) -> None:
    server.answer(PATH, status(401), pod())
    with await opened(access(user=exec_user(plugin(tmp_path, "answer(token=str(runs))")))):
        assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer 1", "Bearer 2"]


RIGHT = (
    'pods "web" is forbidden: User "jane" cannot create resource "pods/portforward"'
    ' in API group "" in the namespace "shop"'
)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (status(401, "Unauthorized", "Unauthorized"), Unauthorized, "log in again"),
        (status(403, "Forbidden", RIGHT), Forbidden, "no right to create pods/portforward in namespace shop"),
        (status(404, "NotFound", 'pods "web" not found'), NotFound, 'pods "web" not found'),
        (status(400, "BadRequest", "pod web does not have a host assigned"), ApiError, "does not have a host"),
        ((200, {}), ApiError, "seems not to pass WebSockets"),
        (pod(protocol="v9.channel.k8s.io"), Unreachable, "speaks no named protocol instead of v4"),
    ],
)
async def test_refusals_are_told(
    access: Accesses, server: ApiServer, answer: Any, kind: type[Exception], words: str
) -> None:
    server.answer(PATH, answer)
    with pytest.raises(kind, match=words):
        await opened(access())


async def test_refused_protocol_is_not_a_missing_right(access: Accesses, server: ApiServer) -> None:
    async def empty(_: web.Request) -> web.Response:
        return web.Response(status=403)

    server.answer(PATH, empty)
    with pytest.raises(ApiError, match=r"does not speak v4.channel.k8s.io") as told:
        await opened(access())
    assert not isinstance(told.value, Forbidden)


async def test_chunked_refusals_are_read(access: Accesses, server: ApiServer) -> None:
    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=404)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in (b'{"reason": "NotFound",', b' "message": "in', b' pieces"}'):
            await response.write(piece)
        return response

    server.answer(PATH, chunked)
    with pytest.raises(NotFound, match="in pieces"):
        await opened(access())


async def test_unknown_authority_is_told(access: Accesses, server: ApiServer) -> None:
    other = base64.b64encode(Authority("other").certificate).decode()
    with pytest.raises(Unreachable, match="signed by an authority that the kubeconfig does not know"):
        await opened(access(cluster={"certificate-authority-data": other}))
    with pytest.raises(Unreachable, match="shows a certificate for another name"):
        await opened(access(cluster={"tls-server-name": "elsewhere"}))


@pytest.mark.parametrize("speech", [b"", b"HTTP/1.1 200 OK\r\n", b"garbage\r\n\r\n", b"x" * 200_000])
async def test_odd_servers_are_left(access: Accesses, speech: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(speech)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(Unreachable, match=r"did not answer in time|is not HTTP"):
        await opened(access(cluster={"server": url}), within=0.3)
    server.close()
    await server.wait_closed()


async def test_abandoned_openings_leave_no_socket(access: Accesses) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    loaded = access(cluster={"server": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"})
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await opened(loaded)
        gc.collect()
    server.close()
    await server.wait_closed()
