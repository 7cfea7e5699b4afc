"""`kubectl exec`: a command in a container, over channels of a WebSocket; called by `api.server`.

`v5.channel.k8s.io` and `v4.channel.k8s.io`: the first byte of a message is its channel. The exit code travels as a
Status on channel 3. v5 can close standard input (channel 255).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import struct
import termios
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from interceptor.devcluster.api.requestinfo import RequestInfo
from interceptor.devcluster.faults import Stream
from interceptor.devcluster.node.container import Container
from interceptor.devcluster.node.kubelet import Kubelet
from interceptor.devcluster.node.processes import Process, StartError, exit_code
from interceptor.devcluster.node.volumes import translate
from interceptor.devcluster.objects import Object
from interceptor.devcluster.registry import Registry
from interceptor.devcluster.status import ApiError, bad_request, unsupported
from interceptor.devcluster.stream.logs import container_of

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_CHUNK = 32768
_DRAIN = 5.0  # a daemon may hold the output open after the command ended


@dataclass(slots=True)
class Pipes:
    """Our ends and the command's ends of its standard streams."""

    ours: dict[int, int] = field(default_factory=dict)
    theirs: tuple[int, int, int] = (-1, -1, -1)

    def close_theirs(self) -> None:
        """Close what the command inherited."""
        for fd in set(self.theirs):
            os.close(fd)

    def close(self, channel: int) -> None:
        """Close one of our ends."""
        fd = self.ours.pop(channel, None)
        if fd is not None:
            os.close(fd)


def _open(*, stdin: bool, tty: bool) -> Pipes:
    pipes = Pipes()
    if tty:
        master, slave = pty.openpty()
        os.set_inheritable(slave, False)
        pipes.theirs = (slave, slave, slave)
        pipes.ours = {STDOUT: master, STDIN: os.dup(master)}
        return pipes
    if stdin:
        read, pipes.ours[STDIN] = os.pipe()
    else:
        read = os.open(os.devnull, os.O_RDONLY)
    pipes.ours[STDOUT], out = os.pipe()
    pipes.ours[STDERR], err = os.pipe()
    pipes.theirs = (read, out, err)
    return pipes


class Execs:
    """Serves pods/exec."""

    def __init__(self, registry: Registry, kubelet: Kubelet) -> None:
        self._registry = registry
        self._kubelet = kubelet

    async def serve(self, request: web.Request, info: RequestInfo, stream: Stream) -> web.StreamResponse:
        """Run the command until it ends or the client goes."""
        query = request.query
        command = query.getall("command", [])
        if not command:
            raise bad_request("you must specify at least 1 command for the container")
        container = container_of(self._registry, self._kubelet, info, query.get("container", ""))
        if container.launch is None:
            raise ApiError(
                500, "InternalError", f'unable to upgrade connection: container not found ("{container.name}")'
            )
        socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, autoping=True)
        if not socket.can_prepare(request).ok:
            raise unsupported("exec over SPDY; use a client that speaks WebSocket (kubectl 1.31 or newer)")
        await socket.prepare(request)
        if socket.ws_protocol is None:
            await socket.close()
            return socket
        tty, stdin = query.get("tty") in ("1", "true"), query.get("stdin") in ("1", "true")
        pipes = _open(stdin=stdin, tty=tty)
        try:
            await self._run(socket, stream, container, command, pipes, tty=tty)
        finally:
            for channel in list(pipes.ours):
                pipes.close(channel)
        return socket

    async def _run(
        self,
        socket: web.WebSocketResponse,
        stream: Stream,
        container: Container,
        command: list[str],
        pipes: Pipes,
        *,
        tty: bool,
    ) -> None:
        launch = container.launch
        assert launch is not None
        env = launch.env | ({"TERM": "xterm"} if tty else {})
        try:
            process = await self._kubelet.processes.spawn(
                translate(command, launch.mounts), env, launch.cwd, pipes.theirs, tty=tty
            )
        except StartError as error:
            text = f"command terminated with exit code {126 if 'permission' in str(error) else 127}: {error}"
            await _send(socket, ERROR, _exit_status(126 if "permission" in str(error) else 127, text))
            await socket.close()
            return
        finally:
            pipes.close_theirs()
        container.attached.add(process)
        stream.end = process.kill_all
        try:
            await self._attend(socket, process, pipes)
        finally:
            process.kill_all()
            container.attached.discard(process)

    async def _attend(self, socket: web.WebSocketResponse, process: Process, pipes: Pipes) -> None:
        async with asyncio.TaskGroup() as group:
            outputs = [
                group.create_task(_pump(socket, channel, pipes), name=f"exec output {channel}")
                for channel in (STDOUT, STDERR)
                if channel in pipes.ours
            ]
            listening = group.create_task(_listen(socket, process, pipes), name="exec input")
            status = await process.wait()
            _, late = await asyncio.wait(outputs, timeout=_DRAIN)
            for task in late:
                task.cancel()
            with contextlib.suppress(ConnectionResetError):  # the client may be gone: that is why the command ended
                await _send(socket, ERROR, _exit_status(exit_code(status)))
                await socket.close()
            listening.cancel()


async def _pump(socket: web.WebSocketResponse, channel: int, pipes: Pipes) -> None:
    """Send what the command writes."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_CHUNK)
    fd = os.dup(pipes.ours[channel])
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0))
    try:
        while data := await reader.read(_CHUNK):
            await _send(socket, channel, data)
    except OSError:
        return  # a terminal ends with EIO; a client that is gone with a reset
    finally:
        transport.close()


async def _listen(socket: web.WebSocketResponse, process: Process, pipes: Pipes) -> None:
    """Pass on the client's input; its leaving kills the command."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel == STDIN and STDIN in pipes.ours:
            await _write(pipes, data)
        elif channel == CLOSE and data[:1] == bytes([STDIN]):
            pipes.close(STDIN)
        elif channel == RESIZE and STDOUT in pipes.ours:
            size = json.loads(data)
            packed = struct.pack("HHHH", size["Height"], size["Width"], 0, 0)
            with contextlib.suppress(OSError):  # not a terminal
                fcntl.ioctl(pipes.ours[STDOUT], termios.TIOCSWINSZ, packed)
    if process.running:
        process.kill_all()


async def _write(pipes: Pipes, data: bytes) -> None:
    fd = pipes.ours[STDIN]
    os.set_blocking(fd, False)
    loop = asyncio.get_running_loop()
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            writable = asyncio.Event()
            loop.add_writer(fd, writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(fd)
        except (BrokenPipeError, OSError):
            pipes.close(STDIN)
            return


async def _send(socket: web.WebSocketResponse, channel: int, data: bytes) -> None:
    await socket.send_bytes(bytes([channel]) + data)


def _exit_status(code: int, message: str = "") -> bytes:
    if code == 0:
        status: Object = {"metadata": {}, "status": "Success"}
    else:
        status = {
            "metadata": {},
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": message
            or f"command terminated with non-zero exit code: command terminated with exit code {code}",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    return json.dumps(status).encode()
