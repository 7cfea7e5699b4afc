"""A process in a container, both ways while it lasts: `exec` starts one, `attach` joins the container's own.

`client` offers both; `session.debug` puts a terminal, or a program that reads packets, at this end.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from interceptor.kube.errors import Call, ExecFailed
from interceptor.kube.execute import CHUNK, CLOSE, PROTOCOLS, STATUS, STDERR, STDIN, STDOUT, exit_code
from interceptor.kube.resources import PODS
from interceptor.kube.transport import Transport

RESIZE = 4
LARGEST_STATUS = 64 * 1024


class ContainerStream:
    """An open connection to a process in a container."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, what: str) -> None:
        self._socket = socket
        self._what = what
        self._status = b""

    @property
    def closes_stdin(self) -> bool:
        """Whether the end of standard input can be told without ending the rest (v5, Kubernetes 1.30)."""
        return self._socket.protocol == PROTOCOLS[0]

    async def send(self, data: bytes) -> None:
        """Write to its standard input; into the void once it has ended, as `receive` tells."""
        with suppress(aiohttp.ClientConnectionResetError, ConnectionResetError):
            for at in range(0, len(data), CHUNK):
                await self._socket.send_bytes(bytes((STDIN,)) + data[at : at + CHUNK])

    async def close_stdin(self) -> None:
        """Tell it the end of its standard input, where the protocol can."""
        if self.closes_stdin:
            with suppress(aiohttp.ClientConnectionResetError, ConnectionResetError):
                await self._socket.send_bytes(bytes((CLOSE, STDIN)))

    async def resize(self, columns: int, rows: int) -> None:
        """Give its terminal another size; it gets SIGWINCH if that is new."""
        size = json.dumps({"Width": columns, "Height": rows}).encode()
        with suppress(aiohttp.ClientConnectionResetError, ConnectionResetError):
            await self._socket.send_bytes(bytes((RESIZE,)) + size)

    async def receive(self) -> tuple[int, bytes] | None:
        """What it writes next, to STDOUT or STDERR; None once the connection is over."""
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG):
                    continue
                return None
            channel, data = message.data[:1], message.data[1:]
            if channel == bytes((STATUS,)):
                self._status = (self._status + data)[:LARGEST_STATUS]
            elif data and channel in (bytes((STDOUT,)), bytes((STDERR,))):
                return channel[0], data

    @property
    def ended(self) -> bool:
        """Whether the cluster told how it ended, not just that the connection is over."""
        return bool(self._status)

    def exit_code(self) -> int:
        """Its exit status, after the end. Raises ExecFailed where it could not run, or nobody knows."""
        if not self._status:
            raise ExecFailed(f"the connection to {self._what} broke before it ended")
        status: dict[str, Any] = json.loads(self._status)
        return exit_code(status, self._what)


@asynccontextmanager
async def open_stream(
    transport: Transport,
    namespace: str,
    pod: str,
    container: str,
    command: Sequence[str] | None,
    *,
    stdin: bool,
    tty: bool,
) -> AsyncIterator[ContainerStream]:
    """Start `command`, or with None join the container's own process; it is let go of in the end."""
    subresource = "attach" if command is None else "exec"
    params = [("container", container), ("stdout", "true")]
    if stdin:
        params.append(("stdin", "true"))
    # A terminal has one output only; the API server refuses to separate them.
    params.append(("tty", "true") if tty else ("stderr", "true"))
    params += [("command", word) for word in command or ()]
    call = Call("create", PODS, namespace, pod, subresource)
    words = " ".join(command or ("the main process",))
    what = f"{words if len(words) <= 60 else words[:57] + '...'!r} in {pod}/{container}"
    async with transport.websocket(PODS.path(namespace, pod, subresource), call, params, PROTOCOLS) as socket:
        yield ContainerStream(socket, what)
