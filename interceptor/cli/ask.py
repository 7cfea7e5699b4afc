"""Asks the person at the terminal yes or no; `cli.intercept` hands it to the session, which asks before it takes over."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

LONGEST_ANSWER = 1024


def questioner(output: str) -> Callable[[str], Awaitable[bool]] | None:
    """Who asks; None where nobody is there to answer: a script, a pipe, JSON."""
    return _ask if output == "text" and sys.stdin.isatty() and sys.stderr.isatty() else None


async def _ask(question: str) -> bool:
    """Wait for a line on the terminal. Not `input` on a thread: that one could not be ended by Ctrl-C."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[bytes] = loop.create_future()

    def read() -> None:
        loop.remove_reader(descriptor)
        if not typed.done():
            typed.set_result(os.read(descriptor, LONGEST_ANSWER))

    descriptor = sys.stdin.fileno()
    loop.add_reader(descriptor, read)
    try:
        return (await typed).strip().lower() in (b"y", b"yes")
    finally:
        loop.remove_reader(descriptor)
