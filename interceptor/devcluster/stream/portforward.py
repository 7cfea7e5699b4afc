"""Port-forward, front: which protocol a client speaks, and the simple one (`v4.channel.k8s.io`).

Called by `api.server`.

v4 as the kubelet does it: for each asked port a data and an error channel, dialled at once, first frame each way the
port number. There is no half-close. Connections go to the pod's own address only: programs in pods must listen there
(INTERCEPTOR_BIND), as 127.0.0.1 is everybody's here.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct

from aiohttp import WSMsgType, web

from interceptor.devcluster.api.requestinfo import RequestInfo
from interceptor.devcluster.faults import Stream
from interceptor.devcluster.node.kubelet import Kubelet
from interceptor.devcluster.node.pod import PodWorker
from interceptor.devcluster.registry import Registry
from interceptor.devcluster.resources import PODS
from interceptor.devcluster.status import ApiError, bad_request, unsupported
from interceptor.devcluster.stream.dial import refusal
from interceptor.devcluster.stream.spdy_tunnel import SPDY_PROTOCOL, SpdyTunnel

V4 = "v4.channel.k8s.io"
_CHUNK = 65536


class PortForwards:
    """Serves pods/portforward."""

    def __init__(self, registry: Registry, kubelet: Kubelet) -> None:
        self._registry = registry
        self._kubelet = kubelet

    async def serve(self, request: web.Request, info: RequestInfo, stream: Stream) -> web.StreamResponse:
        """Forward until the client goes or, with v4, all connections ended."""
        pod = self._registry.get(PODS, info.namespace, info.name)
        worker = self._kubelet.find(info.namespace, info.name)
        if worker is None or pod["status"]["phase"] != "Running":
            phase = pod["status"]["phase"]
            raise ApiError(
                500, "InternalError", f"unable to forward port because pod is not running. Current status={phase}"
            )
        socket = web.WebSocketResponse(protocols=(SPDY_PROTOCOL, V4), max_msg_size=0, autoping=True)
        if not socket.can_prepare(request).ok:
            raise unsupported("port-forward over raw SPDY; use a client that speaks WebSocket (kubectl 1.31 or newer)")
        ports = [int(port) for text in request.query.getall("ports", []) for port in text.split(",")]
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if SPDY_PROTOCOL not in offered and not ports:
            raise bad_request('query parameter "port" is required')
        await socket.prepare(request)
        ended = asyncio.Event()
        stream.end = ended.set
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(_close_when(ended, socket), name="port-forward cut")
            try:
                if socket.ws_protocol == SPDY_PROTOCOL:
                    await SpdyTunnel(socket, worker).run()
                elif socket.ws_protocol == V4:
                    await _V4(socket, worker, ports).run()
            finally:
                closing.cancel()
        await socket.close()
        return socket


async def _close_when(ended: asyncio.Event, socket: web.WebSocketResponse) -> None:
    await ended.wait()
    await socket.close()


class _V4:
    """The channels of one WebSocket."""

    def __init__(self, socket: web.WebSocketResponse, worker: PodWorker, ports: list[int]) -> None:
        self._socket = socket
        self._worker = worker
        self._ports = ports
        loop = asyncio.get_running_loop()
        # Data may come before its connection stands; None once it is refused.
        self._writers: dict[int, asyncio.Future[asyncio.StreamWriter | None]] = {
            2 * index: loop.create_future() for index in range(len(ports))
        }

    async def run(self) -> None:
        """Forward until the client goes or all connections ended."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(), name="port-forward from client")
            copying = group.create_task(self._copy(), name="port-forward to client")
            try:
                await asyncio.wait({listening, copying}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                listening.cancel()
                copying.cancel()

    async def _copy(self) -> None:
        async with asyncio.TaskGroup() as group:
            for index, port in enumerate(self._ports):
                group.create_task(self._port(2 * index, port), name=f"port-forward {port}")

    async def _port(self, channel: int, port: int) -> None:
        head = struct.pack("<H", port)
        with contextlib.suppress(ConnectionResetError):  # the client is gone; `_listen` ends the rest
            await self._send(channel, head)
            await self._send(channel + 1, head)
            try:
                reader, writer = await asyncio.open_connection(self._worker.address, port)
            except OSError as error:
                self._writers[channel].set_result(None)
                await self._send(channel + 1, refusal(self._worker, port, error).encode())
                return
            self._writers[channel].set_result(writer)
            try:
                while data := await self._read(reader, channel, port):
                    await self._send(channel, data)
            finally:
                writer.close()

    async def _read(self, reader: asyncio.StreamReader, channel: int, port: int) -> bytes:
        try:
            return await reader.read(_CHUNK)
        except OSError as error:
            await self._send(channel + 1, refusal(self._worker, port, error).encode())
            return b""

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and message.data and message.data[0] in self._writers:
                writer = await self._writers[message.data[0]]
                if writer is not None and not writer.is_closing():
                    writer.write(message.data[1:])
                    with contextlib.suppress(OSError):  # its reader tells the client
                        await writer.drain()

    async def _send(self, channel: int, data: bytes) -> None:
        await self._socket.send_bytes(bytes([channel]) + data)
