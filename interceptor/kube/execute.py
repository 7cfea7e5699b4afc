"""Runs a command in a container over the `exec` subresource and collects its output; `client` offers it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from interceptor.kube.errors import Call, ExecFailed
from interceptor.kube.resources import PODS
from interceptor.kube.transport import Transport

# v5 (Kubernetes 1.30) is v4 with one message more: the end of a stream, without which a command that reads its standard
# input to the end never ends.
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
CHUNK = 32 * 1024
OUTPUT_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True)
class ExecResult:
    """What a command in a container did."""

    exit_code: int
    stdout: bytes
    stderr: bytes


async def execute(
    transport: Transport, namespace: str, pod: str, container: str, command: list[str], *, stdin: bytes, within: float
) -> ExecResult:
    """Run `command` for at most `within` seconds."""
    call = Call("create", PODS, namespace, pod, "exec")
    params = [("container", container), ("stdout", "true"), ("stderr", "true")]
    if stdin:
        params.append(("stdin", "true"))
    params += [("command", word) for word in command]
    path = PODS.path(namespace, pod, "exec")
    words = " ".join(command)
    what = f"{words if len(words) <= 60 else words[:57] + '...'!r} in {pod}/{container}"
    output = _Output()
    try:
        async with (
            asyncio.timeout(within),
            transport.websocket(path, call, params, PROTOCOLS) as socket,
            # The command may write before it has read everything: both ways at once, or both would wait for ever.
            asyncio.TaskGroup() as group,
        ):
            feeding = group.create_task(_feed(socket, stdin), name=f"exec stdin of {pod}")
            await output.collect(socket)
            feeding.cancel()
    except TimeoutError as error:
        raise ExecFailed(f"{what} did not end within {within:g} s") from error
    return output.result(what)


async def _feed(socket: aiohttp.ClientWebSocketResponse, stdin: bytes) -> None:
    if not stdin:
        return
    try:
        for at in range(0, len(stdin), CHUNK):
            await socket.send_bytes(bytes((STDIN,)) + stdin[at : at + CHUNK])
        if socket.protocol == PROTOCOLS[0]:
            await socket.send_bytes(bytes((CLOSE, STDIN)))
    except (aiohttp.ClientConnectionResetError, ConnectionResetError):
        return  # the command ended without reading all of it; its status says whether that was right


class _Output:
    """What the command writes, and in the end its status."""

    def __init__(self) -> None:
        self._streams = {STDOUT: bytearray(), STDERR: bytearray(), STATUS: bytearray()}

    async def collect(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Read until the end, or until there is too much of it."""
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY and message.data and message.data[0] in self._streams:
                self._streams[message.data[0]] += message.data[1:]
                if self._too_much:
                    return

    @property
    def _too_much(self) -> bool:
        return sum(map(len, self._streams.values())) > OUTPUT_LIMIT

    def result(self, what: str) -> ExecResult:
        """The output, if the command ran to its end."""
        if self._too_much:
            raise ExecFailed(f"{what} wrote more than {OUTPUT_LIMIT >> 20} MiB")
        if not self._streams[STATUS]:
            raise ExecFailed(f"the connection to {what} broke before it ended")
        code = exit_code(json.loads(self._streams[STATUS]), what)
        return ExecResult(code, bytes(self._streams[STDOUT]), bytes(self._streams[STDERR]))


def exit_code(status: dict[str, Any], what: str) -> int:
    """What the Status on the last channel says. Raises ExecFailed where the command could not run."""
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or []:
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
    raise ExecFailed(f"{what} could not run: {status.get('message') or 'no reason given'}")
