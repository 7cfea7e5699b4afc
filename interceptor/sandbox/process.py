"""Runs COMMAND: `cli` asks `find_command` before anything has changed, `session` awaits `run_command`."""

import asyncio
import ctypes
import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from interceptor.errors import InterceptorError

CTRL_C_GRACE = 2.0
TERM_GRACE = 5.0
_PR_SET_PDEATHSIG = 1


class Running(Protocol):
    """COMMAND, as a process of its own or in a sandbox."""

    @property
    def returncode(self) -> int | None:
        """Its exit status, once it has ended; negative for a signal."""

    async def wait(self) -> int:
        """Wait for its end."""

    def send_signal(self, number: int, /) -> None:
        """Raises ProcessLookupError when it has ended."""


class CommandError(InterceptorError):
    """COMMAND can't be started; the exit status is the one a shell gives: 127 not found, 126 not executable."""

    def __init__(self, message: str, *, hint: str, exit_status: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_status = exit_status


def find_command(argv: Sequence[str]) -> str:
    """Find the program COMMAND names, as the shell would; raises CommandError when it can't be run."""
    name = argv[0]
    found = shutil.which(name)
    if found is not None:
        return found
    if "/" not in name:
        raise CommandError(
            f"{name}: command not found in PATH", hint="check its name after --, or give its path", exit_status=127
        )
    path = Path(name)
    if not path.exists():
        raise CommandError(f"{name}: no such file", hint="check the path after --", exit_status=127)
    if path.is_dir():
        raise CommandError(f"{name} is a folder", hint="name the program after --", exit_status=126)
    raise CommandError(f"{name} is not executable", hint=f"chmod +x {name}", exit_status=126)


async def run_command(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run COMMAND to its end and return its exit status, 128 + N if signal N ended it.

    It stays in our process group and on our terminal, so it may ask questions, and Ctrl-C reaches it as ever.
    When the caller is cancelled, COMMAND is asked to end, then made to; it never outlives this call. Should this
    program be killed, the kernel asks COMMAND to end (Linux).
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, executable=find_command(argv), env=dict(environ), preexec_fn=_bind_life_to_parent()
        )
    except OSError as error:
        raise not_executed(argv, error.errno or errno.EIO) from error
    return await see_through(process)


def not_executed(argv: Sequence[str], code: int) -> CommandError:
    """What to say of a program that was found and that the kernel would not start."""
    hints = {
        errno.ENOEXEC: "does it begin with a #! line?",
        errno.ENOENT: "its #! line or its loader names a program that is not here",
        errno.E2BIG: "its arguments and variables are too long; --env-exclude GLOB leaves variables out",
    }
    text = f"{argv[0]}: {os.strerror(code)}"
    return CommandError(text, hint=hints.get(code, f"try it alone: {argv[0]}"), exit_status=126)


async def see_through(process: Running) -> int:
    """Wait for COMMAND's end and return its exit status; cancelled, make it end first."""
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        await _end(process)
        raise
    return status if status >= 0 else 128 - status


async def _end(process: Running) -> None:
    """End COMMAND: on a terminal Ctrl-C has reached it already, so it first gets time to leave by itself."""
    try:
        if _on_foreground_terminal() and await _ends_within(process, CTRL_C_GRACE):
            return
        # SIGCONT, because a process stopped at a breakpoint handles SIGTERM only once it runs again.
        for number in (signal.SIGTERM, signal.SIGCONT):
            _send(process, number)
        if await _ends_within(process, TERM_GRACE):
            return
    finally:
        if process.returncode is None:
            _send(process, signal.SIGKILL)
            await process.wait()


async def _ends_within(process: Running, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _send(process: Running, number: int) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        return  # it ended in this moment, which is what we want


def _on_foreground_terminal() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False  # stdin is no terminal


def _bind_life_to_parent() -> Callable[[], None] | None:
    """Make the function that runs in the child before exec: let the kernel signal it when this program dies.

    SIGTERM and not SIGKILL: a development server with a reloader ends its workers only when it may.
    Everything that can allocate or import happens here, before the fork; the child makes three system calls.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)  # it died before we asked

    return bind
