"""What runs beside COMMAND for a whole session, and how its end is told; each kind of session holds one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
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

    async def until_over(self) -> Exception:
        """What the first said who called `end`."""
        return await asyncio.shield(self._over)

    async def raise_when_over(self) -> None:
        """Wait for the first who calls `end`, and raise what it says."""
        raise await self.until_over()

    def raise_if_over(self) -> None:
        """Raise what the first said who called `end`, if somebody did."""
        if self._over.done():
            raise self._over.result()

    def stop(self) -> None:
        """Cancel them all."""
        for task in self._tasks:
            task.cancel()

    async def _run(self, service: Coroutine[Any, Any, None]) -> None:
        try:
            await service
        except Exception as error:  # whatever it is, whoever waits for the end raises it
            self.end(error)


async def with_services(act: Callable[[Services], Awaitable[int]], take_back: Callable[[], Awaitable[None]]) -> int:
    """What `act` returns; what it did is taken back whatever happens, and its services go on until that is done."""
    async with asyncio.TaskGroup() as group:
        services = Services(group)
        try:
            return await act(services)
        finally:
            await take_back()
            services.stop()
