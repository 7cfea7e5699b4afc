"""What runs beside COMMAND for a whole session, and how its end is told; `run` holds one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Services:
    """Tasks that a task group owns. One that fails ends the session, not the group: that would cut the undo short."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []
        self._over: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def start(self, name: str, service: Coroutine[Any, Any, None]) -> None:
        """Run until `stop`."""
        self._tasks.append(self._group.create_task(self._run(service), name=name))

    def end(self, error: Exception) -> None:
        """Somebody or something else ends the session."""
        if not self._over.done():
            self._over.set_result(error)

    async def raise_when_over(self) -> None:
        """Wait for the first who called `end`, and raise what it said."""
        raise await asyncio.shield(self._over)

    def stop(self) -> None:
        """Cancel them all."""
        for task in self._tasks:
            task.cancel()

    async def _run(self, service: Coroutine[Any, Any, None]) -> None:
        try:
            await service
        except Exception as error:  # whatever it is, `raise_when_over` raises it
            self.end(error)
