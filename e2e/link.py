"""A way to the API server that can go silent: a relay on loopback named by a copy of the kubeconfig.

Cutting a link makes no end that anybody could see: connections stay open, bytes stop, in both directions, as
when a laptop's lid closes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from e2e.kubectl import Kubectl
from e2e.way import Way


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


class Link(Way):
    """The relay that goes silent."""

    def __init__(self, kubectl: Kubectl, folder: Path) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._target = ("", 0)
        super().__init__(kubectl, folder, "link")

    def lead(self, config: dict[str, Any], server: str) -> None:
        """To the same certificate, under its own name."""
        cluster = config["clusters"][0]["cluster"]
        far = urlsplit(cluster["server"])
        self._target = (far.hostname or "", far.port or 443)
        cluster["server"] = server
        cluster["tls-server-name"] = self._target[0]

    def cut(self) -> None:
        self.loop.call_soon_threadsafe(self._open.clear)

    def mend(self) -> None:
        self.loop.call_soon_threadsafe(self._open.set)

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
