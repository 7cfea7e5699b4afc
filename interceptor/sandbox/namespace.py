"""A sandbox as the client holds it: `session` starts one and runs COMMAND in it; `outward`, `ports` and the like serve it.

The namespaces are made by a program of its own (`sandbox.child`): a process that has threads or a loop can't go into a
user namespace. What it makes inside comes here as descriptors. Half of what that takes is the program's own start, so
`begin` can do it beforehand: it then waits for the spec.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.sandbox.pool import Pool
from interceptor.sandbox.process import CommandError, not_executed, see_through
from interceptor.sandbox.spec import Spec, dumps

START_TIME = 30.0  # seconds; a hundred times what it takes where nothing else runs
MACHINES = frozenset({"start", "namespaces", "host name", "network", "pod"})  # steps that a machine may forbid or lack
_ROOT = str(Path(__file__).parents[2])
_PROGRAM = "import sys; sys.path.append({!r}); from interceptor.sandbox.child import main; main()"
_MOST_DESCRIPTORS = 16

OnFuse = Callable[[str, int], None]
"""Target of a mount and the descriptor to serve it by, whose owner the called one becomes."""


class SandboxFailed(InterceptorError):
    """The sandbox can't be made; `forbidden` when it is this machine that doesn't let us (there is another mode)."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(
            f"no sandbox can be made here ({step}: {why})",
            hint="--sandbox proxy goes without; interceptor doctor says what this machine lacks",
        )
        self.step, self.why = step, why
        self.forbidden = step in MACHINES


class First:
    """The first process of a sandbox that is not made yet, and our ends of the two sockets it serves."""

    def __init__(self, process: Process, control: socket.socket, pool: socket.socket) -> None:
        self.process, self.control = process, control
        self.pool = Pool(pool)
        self._pool_socket = pool

    def send(self, spec: Spec) -> None:
        """Say what is to be made; by a file, because it may be too long for a message."""
        described = os.memfd_create("sandbox")
        with os.fdopen(described, "w+b") as file:
            file.write(dumps(spec))
            file.flush()
            os.lseek(described, 0, os.SEEK_SET)
            socket.send_fds(self.control, [b"spec"], [described])

    async def end(self) -> None:
        """Let nothing of it be left."""
        self.control.close()  # by which process 1 knows that we are done
        self.pool.close()
        self._pool_socket.close()
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


class Namespace:
    """A sandbox that stands, with COMMAND not started yet."""

    def __init__(self, spec: Spec, first: First) -> None:
        self._spec, self._process, self._control = spec, first.process, first.control
        self.pool = first.pool
        self.doors: dict[str, socket.socket] = {}
        self.low_ports = True  # whether COMMAND may listen below 1024

    async def run(self) -> int:
        """Run COMMAND to its end and return its exit status. Raises CommandError when it can't be started."""
        try:
            self._send({"start": True})
        except ProcessLookupError:
            raise SandboxFailed("start", "its first process ended") from None
        foreground = _foreground()
        try:
            status = await see_through(self)
        finally:
            _take_terminal_back(foreground)
        told = self._told()
        if told is not None and told.get("failed") == "exec":
            code, path = told["errno"], told["path"]
            if path is not None and path != self._spec.executable:  # it can't be gone to
                text = f"COMMAND can't start in {path}: {os.strerror(code)}"
                raise CommandError(text, hint="start it from another folder", exit_status=126)
            raise not_executed(self._spec.argv, code)
        return status

    # --- as `process.see_through` wants it -----------------------------------------------------------------------

    @property
    def returncode(self) -> int | None:
        """The exit status, once COMMAND and all it started are gone."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the end of everything in it."""
        return await self._process.wait()

    def send_signal(self, number: int) -> None:
        """Send COMMAND a signal; SIGKILL ends the whole sandbox."""
        if number == signal.SIGKILL:
            self._process.kill()
        else:
            self._send({"signal": int(number)})

    def _send(self, message: dict[str, object]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except ConnectionError as error:
            raise ProcessLookupError from error

    def _told(self) -> dict[str, Any] | None:
        try:
            said = self._control.recv(4096)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return None
        return json.loads(said) if said else None


@asynccontextmanager
async def begin() -> AsyncIterator[First]:
    """Start a sandbox's first process; it changes nothing until `open_namespace` tells it what to make."""
    control, theirs = _pair()
    pool, pool_theirs = _pair()
    with theirs, pool_theirs:
        passed = theirs.fileno(), pool_theirs.fileno()
        program = _PROGRAM.format(_ROOT)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", program, *map(str, passed), pass_fds=passed
            )  # fmt: skip
        except BaseException:
            control.close()
            pool.close()
            raise
    control.setblocking(False)
    first = First(process, control, pool)
    try:
        yield first
    finally:
        await first.end()


@asynccontextmanager
async def open_namespace(
    spec: Spec, on_fuse: OnFuse | None = None, begun: First | None = None
) -> AsyncIterator[Namespace]:
    """Make a sandbox, from what has `begun` if that is given; at the end nothing of it is left. Raises SandboxFailed."""
    if platform.system() != "Linux":
        raise SandboxFailed("start", f"{platform.system()} has no namespaces")
    async with AsyncExitStack() as stack:
        first = begun if begun is not None else await stack.enter_async_context(begin())
        made = Namespace(spec, first)
        try:
            try:
                first.send(spec)
                async with asyncio.timeout(START_TIME):
                    await _until_ready(made, first.control, on_fuse or _close)
            except ConnectionError:
                raise SandboxFailed("start", "its first process ended") from None
            except TimeoutError:
                raise SandboxFailed("start", f"not up within {START_TIME:.0f} s") from None
            yield made
        finally:
            for door in made.doors.values():
                door.close()
            await first.end()


async def _until_ready(made: Namespace, control: socket.socket, on_fuse: OnFuse) -> None:
    while True:
        await _readable(control)
        said, descriptors, _, _ = socket.recv_fds(control, 4096, _MOST_DESCRIPTORS)
        if not said:
            raise SandboxFailed("start", "its first process ended")
        message = json.loads(said)
        if "failed" in message:
            why = os.strerror(message["errno"])
            raise SandboxFailed(message["failed"], f"{message['path']}: {why}" if message["path"] else why)
        if "doors" in message:
            made.doors = {
                name: socket.socket(fileno=number) for name, number in zip(message["doors"], descriptors, strict=True)
            }
            for door in made.doors.values():
                door.setblocking(False)
            made.low_ports = message["low_ports"]
        elif "fuse" in message:
            on_fuse(message["fuse"], descriptors[0])
        elif "ready" in message:
            return


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sock)


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _close(_: str, descriptor: int) -> None:
    os.close(descriptor)


def _foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False  # stdin is no terminal


def _take_terminal_back(was_ours: bool) -> None:
    """A shell as COMMAND makes itself the terminal's foreground and, from inside, can't give it back to us."""
    if was_ours and not _foreground():
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            os.tcsetpgrp(0, os.getpgrp())
        except OSError:
            pass  # the terminal is gone
        finally:
            signal.signal(signal.SIGTTOU, before)
