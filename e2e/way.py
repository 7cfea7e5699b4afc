"""A client's own way to the API server: a relay on loopback, named by a kubeconfig. `gate` and `link` are such ways.

Only the client under test goes there, so other users of the cluster keep theirs.
"""

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

from e2e.kubectl import Kubectl

UP_WITHIN = 30.0


class Way(ABC):
    """One relay in a thread of its own; `kubeconfig` is the way through it."""

    def __init__(self, kubectl: Kubectl, folder: Path, name: str, context: SSLContext | None = None) -> None:
        config = kubectl.json("config", "view", "--raw", "--flatten", "--minify")
        self.loop = asyncio.new_event_loop()
        self._context = context
        self._end = asyncio.Event()
        self._up = threading.Event()
        self._port = 0
        self._thread = threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),), name=name)
        self._thread.start()
        assert self._up.wait(UP_WITHIN), f"the {name} does not listen"
        self.lead(config, f"https://127.0.0.1:{self._port}")
        self.kubeconfig = folder / f"kubeconfig-through-{name}"
        self.kubeconfig.write_text(json.dumps(config))

    @abstractmethod
    def lead(self, config: dict[str, Any], server: str) -> None:
        """Change a kubeconfig so that it leads through here."""

    @abstractmethod
    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""

    async def _serve(self) -> None:
        relays: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = group.create_task(self.relay(reader, writer), name="relay")
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self.loop.close()
