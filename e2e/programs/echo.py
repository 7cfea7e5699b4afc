"""The app of the scenarios: an HTTP/1.1 server that says who answered; pods say CLUSTER, this machine says LOCAL.

Answers `WORD HOSTNAME PORT PATH` to any GET; GET /bytes/N sends N known bytes, PUT /echo sends the body back
as it comes, PUT /sum answers its hash, GET /slow/S waits S seconds. On SIGTERM it goes on serving for
`--linger` seconds, as an app must that wants no failed request in a rollout; longer, MOST seconds, while callers still come
whom the node's proxy leads here late.
"""

import argparse
import asyncio
import hashlib
import signal
import socket
from collections.abc import AsyncIterator

from e2e.programs.content import BLOCK, blocks

QUIET = 1.0  # seconds without a caller who is no probe: nobody is led here any more
MOST = 7.0  # before the grace period of the scenarios' pods ends


class Exchange:
    """One request: its head and how much of its body is still unread."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader) -> None:
        request, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = request.split(" ", 2)
        self.fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        self.length = int(self.fields.get("content-length", "0"))
        self._reader = reader

    async def body(self) -> AsyncIterator[bytes]:
        left = self.length
        while left:
            data = await self._reader.read(min(left, BLOCK))
            if not data:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(data)
            yield data


class Echo:
    """The server on all its ports."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.host = socket.gethostname()
        self.called_at = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests until the caller closes or asks to."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                exchange = Exchange(head, reader)
                if exchange.fields.get("expect", "").lower() == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if exchange.path != "/ready":
                    self.called_at = asyncio.get_running_loop().time()
                await self.answer(exchange, writer)
                await writer.drain()
                if exchange.fields.get("connection", "").lower() == "close":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller is gone: nobody to tell
        finally:
            writer.close()

    async def answer(self, exchange: Exchange, writer: asyncio.StreamWriter) -> None:
        kind, _, argument = exchange.path.strip("/").partition("/")
        if exchange.method == "PUT" and kind == "echo":
            self.head(writer, exchange.length)
            async for data in exchange.body():
                writer.write(data)
                await writer.drain()
            return
        seen = hashlib.sha256()
        async for data in exchange.body():
            seen.update(data)
        if kind == "bytes":
            self.head(writer, int(argument))
            for block in blocks(int(argument)):
                writer.write(block)
                await writer.drain()
            return
        if kind == "slow":
            await asyncio.sleep(float(argument))
        port = writer.get_extra_info("sockname")[1]
        text = seen.hexdigest() if kind == "sum" else f"{self.word} {self.host} {port} {exchange.path}"
        self.head(writer, len(text) + 1)
        writer.write(text.encode() + b"\n")

    @staticmethod
    def head(writer: asyncio.StreamWriter, length: int) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n".encode())

    async def linger(self, seconds: float) -> None:
        """Serve on for so long, and while callers come."""
        if not seconds:
            return
        loop = asyncio.get_running_loop()
        most = loop.time() + MOST
        await asyncio.sleep(seconds)
        while (now := loop.time()) < (until := min(self.called_at + QUIET, most)):  # noqa: ASYNC110 (callers set no event)
            await asyncio.sleep(until - now)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--word", default="CLUSTER")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--listen", type=int, action="append", help="a port; several times for several")
    parser.add_argument("--linger", type=float, default=0.0)
    options = parser.parse_args()
    echo = Echo(options.word)
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    servers = [
        await asyncio.start_server(echo.serve, options.host, port, backlog=4096) for port in options.listen or [8080]
    ]
    for server in servers:
        print("listening", server.sockets[0].getsockname()[1], flush=True)
    await end.wait()
    await echo.linger(options.linger)


if __name__ == "__main__":
    asyncio.run(main())
