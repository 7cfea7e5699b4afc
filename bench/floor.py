"""The floor: raw `v4.channel.k8s.io` WebSockets through aiohttp to `be` in a pod, with no tunnel of ours inside.

What a port-forward itself costs: API server, kubelet and container runtime copy every byte. `measure` asks here.
"""

import asyncio
import base64
import ssl
import struct
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = 78  # bytes of be's answer
WARM = 0.3  # seconds before counting, as in lg
CHUNK = 65535  # with the channel's byte a frame of 64 KiB; larger ones stall in some container runtimes


def tls_of(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    """What a flattened kubeconfig says about certificates."""
    authority = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(cadata=base64.b64decode(authority).decode() if authority else None)
    if "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile() as pair:  # ssl reads certificates from files only
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            context.load_cert_chain(Path(pair.name))
    return context


class Floor:
    """Port-forwards to one port of one pod."""

    def __init__(self, config: dict[str, Any], namespace: str, pod: str, port: int) -> None:
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url = f"{cluster['server']}/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={port}"
        self._tls = tls_of(cluster, user)
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}

    @asynccontextmanager
    async def open(self, session: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """One port-forward, past the two messages that name the port."""
        async with session.ws_connect(
            self._url,
            protocols=("v4.channel.k8s.io",),
            ssl=self._tls,
            headers=self._headers,
            max_msg_size=0,
            compress=0,
        ) as socket:
            for _ in range(2):
                await socket.receive_bytes()
            yield socket

    async def round_trips(self, seconds: float) -> list[float]:
        """Microseconds of each small request on one connection."""
        taken: list[float] = []
        async with aiohttp.ClientSession() as session, self.open(session) as socket:
            began = time.perf_counter()
            while (started := time.perf_counter()) < began + WARM + seconds:
                await socket.send_bytes(b"\0" + REQUEST)
                got = 0
                while got < ANSWER:
                    got += len(await socket.receive_bytes()) - 1
                if started > began + WARM:
                    taken.append((time.perf_counter() - started) * 1e6)
        return taken

    async def round_trips_beside(self, direction: str, seconds: float) -> list[float]:
        """The same while another WebSocket carries as much as it can."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.bulk(direction, 1, seconds + 1), name="bulk")
            await asyncio.sleep(2 * WARM)
            return await self.round_trips(seconds)

    async def bulk(self, direction: str, streams: int, seconds: float) -> float:
        """MB/s over that many WebSockets; direction is `from_pod` or `to_pod`, counted where it is received."""
        counts = [0] * streams
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            sockets = [await stack.enter_async_context(self.open(session)) for _ in range(streams)]
            async with asyncio.TaskGroup() as group:
                tasks = []
                for number, socket in enumerate(sockets):
                    parts = (self._receive,) if direction == "from_pod" else (self._send, self._acknowledged)
                    tasks += [group.create_task(part(socket, counts, number), name=part.__name__) for part in parts]
                await asyncio.sleep(WARM)
                before, started = sum(counts), time.perf_counter()
                await asyncio.sleep(seconds)
                rate = (sum(counts) - before) / (time.perf_counter() - started) / 1e6
                for task in tasks:
                    task.cancel()
        return rate

    @staticmethod
    async def _receive(socket: aiohttp.ClientWebSocketResponse, counts: list[int], number: int) -> None:
        await socket.send_bytes(b"\0D")
        while True:
            counts[number] += len(await socket.receive_bytes()) - 1

    @staticmethod
    async def _send(socket: aiohttp.ClientWebSocketResponse, _: list[int], __: int) -> None:
        await socket.send_bytes(b"\0U")
        chunk = bytes(CHUNK + 1)
        while True:
            await socket.send_bytes(chunk)

    @staticmethod
    async def _acknowledged(socket: aiohttp.ClientWebSocketResponse, counts: list[int], number: int) -> None:
        rest = b""
        while True:
            rest += (await socket.receive_bytes())[1:]
            whole = len(rest) // 8 * 8
            if whole:
                counts[number] = int(struct.unpack("<Q", rest[whole - 8 : whole])[0])
                rest = rest[whole:]
