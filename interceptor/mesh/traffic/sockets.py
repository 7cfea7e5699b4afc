"""Where the control sockets of this user's sessions are, and how to talk to one; `session.control` serves them.

On Linux a session has an abstract socket, `interceptor/<uid>/<session>`: nothing is left of it however the process dies.
Anybody may connect to such a name, so each side asks the kernel who the other is, and speaks to its own user only.
Elsewhere it is a file with mode 0600 in a folder with mode 0700.

One JSON object a line: a question first, then its answer, or for a tap as many lines as there are requests. Every line of
an answer is an object; `error` says what failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interceptor.errors import InterceptorError

LONGEST = 8 * 1024 * 1024  # of a line: a record with bodies
ANSWER_TIME = 5.0
ABSTRACT = sys.platform == "linux"
_NAMES = Path("/proc/net/unix")
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
BESIDE = "beside"  # said by a session that intercepts nothing: only what COMMAND asks for passes there
_DESCRIBED = ("session", "server", "namespace", "kind", "name")


@dataclass(frozen=True)
class Running:
    """A session of this user on this machine, as it describes itself."""

    address: str
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


def listen(session: str) -> tuple[socket.socket, str]:
    """A listening socket for a session, and its address: give that to `forget`. Raises InterceptorError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        if ABSTRACT:
            address = f"{_prefix()}{session}"
            sock.bind(address)
        else:
            address = str(_folder() / f"{session}.sock")
            _remove(address)  # of a session of this name that was killed: names are drawn by lot
            before = os.umask(0o177)
            try:
                sock.bind(address)
            finally:
                os.umask(before)
        sock.listen()
    except OSError as error:
        sock.close()
        raise InterceptorError(f"can't listen on a Unix socket: {error.strerror or error}") from error
    except InterceptorError:
        sock.close()
        raise
    return sock, address


def forget(address: str) -> None:
    """Remove what a socket leaves when it is closed: abstract names leave nothing."""
    if not ABSTRACT:
        _remove(address)
        with contextlib.suppress(OSError):  # others of ours are beside it
            Path(address).parent.rmdir()


def _remove(address: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
        Path(address).unlink()


def is_ours(sock: socket.socket) -> bool:
    """Whether the process at the other end is this user's. Where names are files, their modes say so."""
    if not ABSTRACT:
        return True
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(credentials)
    return bool(user == os.getuid())


async def running(*, beside: bool = False) -> list[Running]:
    """Every intercept that answers, or every `run`; files that nobody serves any more are removed."""
    found = []
    for address in _addresses():
        try:
            async with connect(address) as link:
                about = await link.ask({"do": "hello"})
        except (ConnectionRefusedError, FileNotFoundError):
            if not ABSTRACT:
                _remove(address)
            continue
        except (OSError, InterceptorError):  # it ends, is stopped, or is not ours: it can't tell us anything
            continue
        if bool(about.get(BESIDE)) is not beside:
            continue
        session, server, namespace, kind, name = (str(about.get(one, "")) for one in _DESCRIBED)
        found.append(Running(address, session, server, namespace, kind, name, about))
    return found


def _prefix() -> str:
    return f"\0interceptor/{os.getuid()}/"


def _addresses() -> list[str]:
    if not ABSTRACT:
        return sorted(map(str, _folder().glob("*.sock")))
    shown = _prefix().replace("\0", "@")
    names = {line.split()[-1] for line in _NAMES.read_text().splitlines() if shown in line}
    return sorted(name.replace("@", "\0", 1) for name in names if name.startswith(shown))


def _folder() -> Path:
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
async def connect(address: str) -> AsyncIterator[Link]:
    """A connection to a session's socket. Raises OSError where nobody listens, or somebody else."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(address)  # at once, or not at all
        if not is_ours(sock):
            raise PermissionError("the session is another user's")
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=LONGEST)
    except BaseException:
        sock.close()
        raise
    try:
        yield Link(reader, writer)
    finally:
        writer.close()
