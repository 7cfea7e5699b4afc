"""A command in the debug container with this program's terminal, or its pipes; `run` calls it, its exit status is ours.

With a terminal on both sides ours is raw: every key goes to the other side, Ctrl-C and Ctrl-Z too, and its size follows.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from interceptor.errors import InterceptorError
from interceptor.kube import ContainerStream, ExecFailed
from interceptor.session.debug.place import ALIVE_EVERY, Place

SHELL = ("sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash; exec sh")
STDIN, STDOUT, STDERR = 0, 1, 2
_PIECE = 16 * 1024
_AT_ONCE = 4096  # PIPE_BUF: a pipe that poll calls writable takes so much without blocking


async def terminal(place: Place, command: Sequence[str]) -> int:
    """Run it; returns its exit status. Raises ExecFailed where that is not known."""
    wanted = tuple(command) or SHELL
    as_terminal = os.isatty(STDIN) and os.isatty(STDOUT)
    try:
        async with place.stream(wanted, stdin=True, tty=as_terminal) as stream:
            with raw() if as_terminal else _cooked():
                await _relay(stream, resizing=as_terminal)
            return stream.exit_code()
    except ExecFailed as error:
        raise place.lacks(wanted[0], error) from error


async def _relay(stream: ContainerStream, *, resizing: bool) -> None:
    async with asyncio.TaskGroup() as group:
        helpers = [group.create_task(_feed(stream), name="terminal input")]
        if resizing:
            helpers.append(group.create_task(_follow_size(stream), name="terminal size"))
        try:
            while (piece := await stream.receive()) is not None:
                await write(piece[0], piece[1])
        finally:
            for task in helpers:
                task.cancel()


async def _feed(stream: ContainerStream) -> None:
    """Pass our standard input on, to its end."""
    while data := await read(STDIN):
        await stream.send(data)
    await stream.close_stdin()


async def _follow_size(stream: ContainerStream) -> None:
    """Tell the size of our terminal now and whenever it changes; now and then anyway, as a sign of life."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            size = os.get_terminal_size(STDOUT) if os.isatty(STDOUT) else shutil.get_terminal_size()
            await stream.resize(size.columns, size.lines)
            changed.clear()
            try:
                async with asyncio.timeout(ALIVE_EVERY):
                    await changed.wait()
            except TimeoutError:
                continue
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


@contextmanager
def raw() -> Iterator[None]:
    """Our terminal passes every key on; as it was afterwards."""
    before = termios.tcgetattr(STDIN)
    tty.setraw(STDIN, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


@contextmanager
def _cooked() -> Iterator[None]:
    yield


async def read(descriptor: int) -> bytes:
    """The next bytes of a descriptor, without blocking the loop; empty at its end.

    A terminal, pipe or socket is waited for; a file is always ready, and epoll refuses it.
    """
    mode = os.fstat(descriptor).st_mode
    if not (os.isatty(descriptor) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return await asyncio.to_thread(os.read, descriptor, _PIECE)
    await _ready(descriptor, writing=False)
    try:
        return os.read(descriptor, _PIECE)
    except OSError:
        return b""  # EIO: the terminal's window was closed


async def write(descriptor: int, data: bytes) -> None:
    """Write it all, however slowly the other side takes it. Raises BrokenPipeError when nobody reads any more."""
    mode = os.fstat(descriptor).st_mode
    waits = os.isatty(descriptor) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    view = memoryview(data)
    while view:
        if waits:
            await _ready(descriptor, writing=True)
        try:
            view = view[os.write(descriptor, view[:_AT_ONCE] if waits else view) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            raise
        except OSError as error:
            raise InterceptorError(f"can't write: {error.strerror}") from error


async def _ready(descriptor: int, *, writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(descriptor, tell)
    try:
        await ready
    finally:
        remove(descriptor)
