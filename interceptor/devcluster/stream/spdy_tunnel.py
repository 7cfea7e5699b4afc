"""Port-forward as kubectl does it: SPDY streams in a WebSocket, a pair (error, data) for each connection.

Called by `portforward`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from interceptor.devcluster.node.pod import PodWorker
from interceptor.devcluster.stream import spdy
from interceptor.devcluster.stream.dial import refusal

SPDY_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_CHUNK = 32768
_BACKLOG = 64  # data frames a slow connection may be behind before the whole tunnel waits, as in kubelet
_MANY = 4096  # connections of one tunnel


@dataclass(eq=False, slots=True)
class _Connection:
    """One forwarded connection: its two streams and what waits to be written."""

    port: int
    error: int = 0
    data: int = 0
    incoming: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_BACKLOG))
    task: asyncio.Task[None] | None = None


class SpdyTunnel:
    """All connections of one `kubectl port-forward`."""

    def __init__(self, socket: web.WebSocketResponse, worker: PodWorker) -> None:
        self._socket = socket
        self._worker = worker
        self._codec = spdy.Codec()
        self._pairs: dict[str, _Connection] = {}
        self._by_stream: dict[int, _Connection] = {}

    async def run(self) -> None:
        """Serve until the client goes."""
        async with asyncio.TaskGroup() as group:
            try:
                async for message in self._socket:
                    if message.type is WSMsgType.BINARY:
                        for frame in self._codec.feed(message.data):
                            await self._frame(frame, group)
            except (spdy.SpdyError, ConnectionResetError):
                return
            finally:
                for connection in self._pairs.values():
                    if connection.task:
                        connection.task.cancel()

    async def _frame(self, frame: spdy.Frame, group: asyncio.TaskGroup) -> None:
        if frame.kind == spdy.SYN_STREAM:
            await self._opened(frame, group)
        elif frame.kind == spdy.PING:
            await self._send(self._codec.ping(frame.data))
        elif frame.kind == spdy.RST_STREAM:
            connection = self._by_stream.get(frame.stream)
            if connection and connection.task:
                connection.task.cancel()
        elif frame.kind == 0 and (connection := self._by_stream.get(frame.stream)) and frame.stream == connection.data:
            if frame.data:
                await self._put(connection, frame.data)
            if frame.flags & spdy.FIN:
                await self._put(connection, None)

    @staticmethod
    async def _put(connection: _Connection, data: bytes | None) -> None:
        if connection.task and not connection.task.done():
            await connection.incoming.put(data)

    async def _opened(self, frame: spdy.Frame, group: asyncio.TaskGroup) -> None:
        headers = frame.headers
        if (
            headers.get("streamtype") not in ("data", "error")
            or not headers.get("port", "").isdigit()
            or len(self._pairs) > _MANY
        ):
            await self._send(self._codec.reset(frame.stream, spdy.PROTOCOL_ERROR))
            return
        request = headers.get("requestid", str(frame.stream // 4))
        connection = self._pairs.setdefault(request, _Connection(int(headers["port"])))
        setattr(connection, headers["streamtype"], frame.stream)
        self._by_stream[frame.stream] = connection
        await self._send(self._codec.syn_reply(frame.stream))
        if connection.error and connection.data and connection.task is None:
            connection.task = group.create_task(
                self._serve(request, connection), name=f"port-forward {connection.port}"
            )

    async def _serve(self, request: str, connection: _Connection) -> None:
        try:
            reader, writer = await asyncio.open_connection(self._worker.address, connection.port)
            try:
                async with asyncio.TaskGroup() as group:
                    writing = group.create_task(self._write(connection, writer), name="port-forward to pod")
                    while data := await reader.read(_CHUNK):
                        await self._send(self._codec.data(connection.data, data))
                    await self._send(self._codec.data(connection.data, b"", fin=True))
                    writing.cancel()
            finally:
                writer.close()
            await self._send(self._codec.data(connection.error, b"", fin=True))
        except* OSError as group_error:
            with contextlib.suppress(ConnectionResetError):
                words = refusal(self._worker, connection.port, _first(group_error))
                await self._send(self._codec.data(connection.error, words.encode(), fin=True))
                await self._send(self._codec.reset(connection.data))
        finally:
            del self._pairs[request]
            for stream in (connection.error, connection.data):
                self._by_stream.pop(stream, None)

    @staticmethod
    async def _write(connection: _Connection, writer: asyncio.StreamWriter) -> None:
        while (data := await connection.incoming.get()) is not None:
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _send(self, data: bytes) -> None:
        await self._socket.send_bytes(data)


def _first(group: BaseExceptionGroup[OSError]) -> OSError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an empty group")
