"""A way to the API server that can go silent: a relay on loopback named by a copy of the kubeconfig.

Cutting a link makes no end that anybody could see: connections stay open, bytes stop, in both directions, as
when a laptop's lid closes. Only the client under test goes this way, so other users of the cluster keep theirs.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from e2e.kubectl import Kubectl


@asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close it with all its bytes sent; at once when cancelled, or when nobody takes them."""
    try:
        yield
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    finally:
        writer.transport.abort()


class Link:
    """One relay in a thread of its own; `kubeconfig` is the way through it."""

    def __init__(self, kubectl: Kubectl, folder: Path) -> None:
        config = kubectl.json("config", "view", "--raw", "--flatten", "--minify")
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        self._target = (server.hostname or "", server.port or 443)
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._end = asyncio.Event()
        self._up = threading.Event()
        self._port = 0
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), name="link")
        self._thread.start()
        self._up.wait(10)
        cluster = config["clusters"][0]["cluster"]
        cluster["server"] = f"https://127.0.0.1:{self._port}"
        cluster["tls-server-name"] = self._target[0]
        self.kubeconfig = folder / "kubeconfig-through-link"
        self.kubeconfig.write_text(json.dumps(config))

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self._open.clear)

    def mend(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)

    async def _serve(self) -> None:
        self._open.set()
        relays: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = group.create_task(self._relay(reader, writer), name="relay")
                relays.add(task)
                task.add_done_callback(relays.discard)

            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            self._port = server.sockets[0].getsockname()[1]
            self._up.set()
            await self._end.wait()
            server.close()
            for task in relays:
                task.cancel()
        await asyncio.sleep(0)  # aborted transports end in the loop's next turn

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _closing(writer):
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            async with _closing(far_writer), asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer), name="up")
                group.create_task(self._pump(far_reader, writer), name="down")

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction until its end; a side that broke off is an end like any other for the other side."""
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
            await self._open.wait()  # an end is news too
            writer.write_eof()
        except OSError:
            await self._open.wait()
            writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        self._loop.close()
