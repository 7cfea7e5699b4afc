"""Where the control sockets of this user's sessions are, and how to talk to one; `session.control` serves them.

A Unix socket a session, in a folder that only this user can enter: one JSON object a line, a question first, then its
answer, or for a tap as many lines as there are requests. Every line of an answer is an object; `error` says what failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interceptor.errors import InterceptorError

LONGEST = 8 * 1024 * 1024  # of a line: a record with bodies
ANSWER_TIME = 5.0
_DESCRIBED = ("session", "server", "namespace", "kind", "name")


@dataclass(frozen=True)
class Running:
    """A session of this user on this machine, as it describes itself."""

    path: Path
    session: str
    server: str
    namespace: str
    kind: str
    name: str
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def title(self) -> str:
        """As people name it."""
        return f"{self.kind.lower()} {self.name} in namespace {self.namespace}"


def folder() -> Path:
    """The folder of the sockets, made if it is not there. Raises InterceptorError where somebody else owns it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = Path(runtime) / "interceptor" if runtime else Path(tempfile.gettempdir()) / f"interceptor-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise InterceptorError(f"can't make the folder {place}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InterceptorError(f"{place} is not a folder of yours alone", hint="remove it, or set XDG_RUNTIME_DIR")
    return place


async def running() -> list[Running]:
    """Every session that answers; sockets that nobody serves any more are removed."""
    found = []
    for path in sorted(folder().glob("*.sock")):
        try:
            async with connect(path) as link:
                about = await link.ask({"do": "hello"})
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(OSError):  # somebody else was quicker
                path.unlink()
            continue
        except (OSError, InterceptorError):  # it ends, or is stopped: it can't tell us anything now
            continue
        session, server, namespace, kind, name = (str(about.get(field, "")) for field in _DESCRIBED)
        found.append(Running(path, session, server, namespace, kind, name, about))
    return found


class Link:
    """A connection to one session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, question: Mapping[str, object]) -> dict[str, Any]:
        """Ask once; returns the answer."""
        await self._say(question)
        async with asyncio.timeout(ANSWER_TIME):
            answer = await self._line()
        if answer is None:
            raise InterceptorError("the session ended")
        return answer

    async def follow(self, question: Mapping[str, object]) -> AsyncGenerator[dict[str, Any], None]:
        """Ask, and get lines until the session ends."""
        await self._say(question)
        while (line := await self._line()) is not None:
            yield line

    async def _say(self, question: Mapping[str, object]) -> None:
        self._writer.write(json.dumps(question).encode() + b"\n")
        await self._writer.drain()

    async def _line(self) -> dict[str, Any] | None:
        try:
            line = await self._reader.readline()
        except (ConnectionError, ValueError):  # ValueError: a line longer than we take
            return None
        if not line.endswith(b"\n"):
            return None
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise InterceptorError(str(answer["error"]))
        return answer


@asynccontextmanager
async def connect(path: Path) -> AsyncIterator[Link]:
    """A connection to a session's socket. Raises OSError where nobody listens."""
    reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST)
    try:
        yield Link(reader, writer)
    finally:
        writer.close()
