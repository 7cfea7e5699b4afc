"""A way to the API server that kills who uses it, at a chosen request: before it goes on, or before its answer comes back.

A relay that ends TLS on both sides, so that it can read each request's line: a client under test that is given the gate's
kubeconfig talks to the API server through it alone. Which request is meant is named by what it does and how often that
was done before ("PATCH deployments 1"), since a client's requests overlap and their order varies.
"""

import asyncio
import base64
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from e2e.api import Credentials
from e2e.kubectl import Kubectl
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


class Gate:
    """One relay in a thread of its own; `kubeconfig` is the way through it."""

    def __init__(self, kubectl: Kubectl, folder: Path) -> None:
        self._far = Credentials(kubectl)
        authority = Authority("gate")
        self._context = authority.server_context(authority.leaf("gate", "127.0.0.1"), folder)
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._up = threading.Event()
        self._port = 0
        self._shot: Shot | None = None
        self._kill: Callable[[], None] = lambda: None
        self._phase = ""
        self._counts: Counter[str] = Counter()
        self.seen: list[str] = []
        self.fired = threading.Event()
        self.fired_at = 0.0
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), name="gate")
        self._thread.start()
        self._up.wait(10)
        config = kubectl.json("config", "view", "--raw", "--flatten", "--minify")
        certificate = base64.b64encode(authority.certificate).decode()
        config["clusters"][0]["cluster"] = {
            "server": f"https://127.0.0.1:{self._port}",
            "certificate-authority-data": certificate,
        }
        config["users"][0]["user"] = {"token": "of-nobody"}  # the gate shows its own credentials
        self.kubeconfig = folder / "kubeconfig-through-gate"
        self.kubeconfig.write_text(json.dumps(config))

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

    async def _serve(self) -> None:
        relays: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = group.create_task(self._relay(reader, writer), name="relay")
                relays.add(task)
                task.add_done_callback(relays.discard)

            server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=self._context)
            self._port = server.sockets[0].getsockname()[1]
            self._up.set()
            await self._end.wait()
            server.close()
            for task in relays:
                task.cancel()
        await asyncio.sleep(0.05)  # aborted transports end in the loop's next turns

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        self._loop.close()
