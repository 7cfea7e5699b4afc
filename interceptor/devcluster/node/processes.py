"""Starting and ending the processes of pods, by way of the shim; used by containers, exec and probes."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

_SHIM = Path(__file__).with_name("shim.py")


class StartError(Exception):
    """A program could not be started: `reason` as the container runtime words it."""


class Process:
    """One process the shim started."""

    def __init__(self, shim: Processes, pid: int) -> None:
        self._shim = shim
        self.pid = pid
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        """Whether it has not been reaped."""
        return not self._ended.done()

    async def wait(self) -> int:
        """Wait for the end: the exit code, negative for a signal."""
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        """Send a signal to the process itself."""
        self._shim.tell({"pid": self.pid, "signal": number, "everyone": False})

    def kill_all(self) -> None:
        """Kill it and whatever it started."""
        self._shim.tell({"pid": self.pid, "signal": signal.SIGKILL, "everyone": True})

    def ended(self, status: int) -> None:
        """Note the end; called by `Processes`."""
        if not self._ended.done():
            self._ended.set_result(status)


def exit_code(status: int) -> int:
    """Return the code a container reports: 128 and the signal's number for a signal."""
    return status if status >= 0 else 128 - status


class Processes:
    """Our end of the shim's socket."""

    def __init__(self) -> None:
        self._link, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._shim: subprocess.Popen[bytes] | None = None
        self._next = 0
        self._asked: dict[int, asyncio.Future[Process]] = {}
        self._known: dict[int, Process] = {}

    async def __aenter__(self) -> Processes:
        self._shim = subprocess.Popen(  # noqa: ASYNC220  (returns at once)
            [sys.executable, "-I", "-S", str(_SHIM), str(self._theirs.fileno())],
            pass_fds=[self._theirs.fileno()],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
        self._theirs.close()
        self._link.setblocking(False)
        asyncio.get_running_loop().add_reader(self._link, self._readable)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._link)
        self._link.close()
        for process in self._known.values():
            process.ended(-signal.SIGKILL)
        assert self._shim is not None
        self._shim.wait(10)  # it only kills and reaps

    async def spawn(
        self, argv: list[str], env: dict[str, str], cwd: Path, stdio: tuple[int, int, int], *, tty: bool = False
    ) -> Process:
        """Start a program; the three file descriptors stay the caller's to close."""
        self._next += 1
        number = self._next
        request = {"id": number, "argv": argv, "env": env, "cwd": str(cwd), "tty": tty}
        body = os.memfd_create("spawn")
        try:
            os.write(body, json.dumps(request).encode())
            os.lseek(body, 0, os.SEEK_SET)
            answer: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
            self._asked[number] = answer
            socket.send_fds(self._link, [b"spawn"], [body, *stdio])
        finally:
            os.close(body)
        try:
            return await asyncio.shield(answer)
        except OSError as error:
            raise StartError(_words(argv[0], error)) from error

    def tell(self, message: dict[str, Any]) -> None:
        """Send a small request."""
        self._link.send(json.dumps(message).encode())

    def _readable(self) -> None:
        while True:
            try:
                data = self._link.recv(65536)
            except BlockingIOError:
                return
            if not data:
                asyncio.get_running_loop().remove_reader(self._link)
                return
            message = json.loads(data)
            if "id" in message:
                self._started(message)
            elif process := self._known.pop(message["pid"], None):
                process.ended(message["status"])

    def _started(self, message: dict[str, Any]) -> None:
        answer = self._asked.pop(message["id"])
        if "errno" in message:
            answer.set_exception(OSError(message["errno"], os.strerror(message["errno"])))
            return
        process = Process(self, message["pid"])
        self._known[process.pid] = process
        answer.set_result(process)


def _words(program: str, error: OSError) -> str:
    prefix = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        "unable to start container process"
    )
    if error.errno == errno.ENOENT and "/" not in program:
        return f'{prefix}: error during container init: exec: "{program}": executable file not found in $PATH'
    text = (error.strerror or str(error)).lower()
    return f'{prefix}: error during container init: exec: "{program}": stat {program}: {text}'
