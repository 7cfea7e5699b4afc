"""What every controller is: keys to look at, one at a time, until nothing is left to do; subclassed in this package.

A controller hears of every change, notes which of its objects that concerns, and brings those into line. It reads the
present state each time, so a missed or doubled note does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable

from interceptor.devcluster.registry import Registry
from interceptor.devcluster.status import ApiError
from interceptor.devcluster.store import Change, Key

_RETRY = 1.0
_log = logging.getLogger(__name__)


class Controller(ABC):
    """One controller; `run` is its task."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.store = registry.store
        self._pending: dict[Key, None] = {}
        self._wake = asyncio.Event()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self.store.listen(self._hear)

    @abstractmethod
    def concerns(self, change: Change) -> Iterable[Key]:
        """Return the keys that must be looked at after a change."""

    @abstractmethod
    def reconcile(self, key: Key) -> float | None:
        """Bring one object into line; return after how many seconds to look again, if at all."""

    def look_at(self, key: Key) -> None:
        """Note a key."""
        self._pending[key] = None
        self._wake.set()

    def _hear(self, change: Change) -> None:
        for key in self.concerns(change):
            self.look_at(key)

    async def run(self) -> None:
        """Reconcile for ever."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._pending:
                    key = next(iter(self._pending))
                    del self._pending[key]
                    self._once(key)
                    await asyncio.sleep(0)  # requests come in between
        finally:
            for timer in self._timers.values():
                timer.cancel()

    def _once(self, key: Key) -> None:
        try:
            again = self.reconcile(key)
        except ApiError as error:
            _log.info("%s %s: %s", type(self).__name__, key, error.message)
            again = _RETRY
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if again is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(max(again, 0.01), self.look_at, key)
