"""A way to the API server that kills who uses it, at a chosen request: before it goes on, or before its answer comes back.

A relay that ends TLS on both sides, so that it can read each request's line: a client under test that is given the gate's
kubeconfig talks to the API server through it alone. Which request is meant is named by what it does and how often that
was done before ("PATCH deployments 1"), since a client's requests overlap and their order varies.
"""

import asyncio
import base64
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from e2e.api import Credentials
from e2e.kubectl import Kubectl
from e2e.way import Way
from tests.certificates import Authority

HEAD = re.compile(rb"(\w+) (\S+) HTTP/1\.1\r\n")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
AUTHORIZATION = re.compile(rb"\r\nauthorization:[^\r]*", re.IGNORECASE)
PATH = re.compile(r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/[^/]+)?/(?P<kind>[^/?]+)(?:/[^/?]+(?P<sub>/[^?]+)?)?")


class Shot(NamedTuple):
    """Which request, and whether the API server still gets it."""

    request: str
    arrives: bool

    def __str__(self) -> str:
        return f"{self.request}, {'answer lost' if self.arrives else 'not sent'}"


class Gate(Way):
    """The relay that kills."""

    def __init__(self, kubectl: Kubectl, folder: Path) -> None:
        self._far = Credentials(kubectl)
        authority = Authority("gate")
        self._certificate = base64.b64encode(authority.certificate).decode()
        self._shot: Shot | None = None
        self._kill: Callable[[], None] = lambda: None
        self._phase = ""
        self._counts: Counter[str] = Counter()
        self.seen: list[str] = []
        self.fired = threading.Event()
        self.fired_at = 0.0
        context = authority.server_context(authority.leaf("gate", "127.0.0.1"), folder)
        super().__init__(kubectl, folder, "gate", context)

    def lead(self, config: dict[str, Any], server: str) -> None:
        """To our own certificate; the gate shows its own credentials."""
        config["clusters"][0]["cluster"] = {"server": server, "certificate-authority-data": self._certificate}
        config["users"][0]["user"] = {"token": "of-nobody"}

    def aim(self, shot: Shot | None, kill: Callable[[], None], phase: str = "start") -> None:
        """Forget what was seen, and wait for this request."""
        self._shot, self._kill, self._phase = shot, kill, phase
        self._counts.clear()
        self.seen.clear()
        self.fired.clear()

    def enter(self, phase: str) -> None:
        """Count anew, under another name."""
        self._phase = phase
        self._counts.clear()

    def _name(self, method: str, path: str) -> str:
        found = PATH.match(path)
        if found is None:
            return f"{self._phase}: {method} {path.partition('?')[0]}"
        watch = " watch" if "watch=" in path else ""
        name = f"{self._phase}: {method} {found['kind']}{found['sub'] or ''}{watch}"
        self._counts[name] += 1
        return f"{name} {self._counts[name]}"

    def _fire(self) -> None:
        self._shot = None
        self._kill()
        self.fired_at = time.time()
        self.fired.set()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            at = self._far
            far_reader, far = await asyncio.open_connection(
                at.host, at.port, ssl=at.context, server_hostname=at.name, limit=1 << 20
            )
            answer = asyncio.Event()  # set while the next bytes back are an answer that must not arrive
            async with asyncio.TaskGroup() as group:
                back = group.create_task(self._back(far_reader, writer, answer), name="back")
                await self._there(reader, far, answer)
                back.cancel()
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one side broke off, as killed clients do
        finally:
            writer.transport.abort()
            if far is not None:
                far.transport.abort()

    async def _there(self, reader: asyncio.StreamReader, far: asyncio.StreamWriter, answer: asyncio.Event) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            line, length = HEAD.match(head), LENGTH.search(head)
            assert line, head
            body = await reader.readexactly(int(length[1])) if length else b""
            name = self._name(line[1].decode(), line[2].decode())
            self.seen.append(name)
            if self._shot is not None and self._shot.request == name:
                if not self._shot.arrives:
                    self._fire()
                    return
                answer.set()
            authorization = "".join(f"\r\n{key}: {value}" for key, value in self._far.headers.items())
            far.write(AUTHORIZATION.sub(authorization.encode(), head, count=1) + body)
            await far.drain()
            if UPGRADE.search(head):
                while data := await reader.read(65536):
                    far.write(data)
                    await far.drain()
                return

    async def _back(self, far: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: asyncio.Event) -> None:
        while data := await far.read(65536):
            if answer.is_set():
                self._fire()
                return
            writer.write(data)
            await writer.drain()
        writer.transport.abort()  # TLS has no half-close: so the client learns of the end
