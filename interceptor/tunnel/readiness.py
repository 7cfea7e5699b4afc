"""Which descriptors are ready, and whom that concerns: the part that both pollers share. `aio` and `epoll` serve from it.

One epoll set: level-triggered, so that what was not served in one pass is reported in the next.
"""

from __future__ import annotations

import select
import selectors
from collections.abc import Callable
from typing import Protocol

Callback = Callable[[], None]
IN, OUT, ERR, HUP = 1, 4, 8, 16  # as Linux numbers them; `select` has the names only there
MOST_AT_ONCE = 256


class _Set(Protocol):
    """What is used of `select.epoll`."""

    def register(self, fd: int, mask: int, /) -> None: ...
    def modify(self, fd: int, mask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, seconds: float, most: int, /) -> list[tuple[int, int]]: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class SelectorSet:
    """The same over `selectors`, where there is no epoll (macOS: kqueue)."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, mask: int, /) -> None:
        """Watch `fd`."""
        self._selector.register(fd, self._events(mask))

    def modify(self, fd: int, mask: int, /) -> None:
        """Watch it for something else."""
        self._selector.modify(fd, self._events(mask))

    def unregister(self, fd: int, /) -> None:
        """Watch it no more."""
        self._selector.unregister(fd)

    def poll(self, seconds: float, _: int, /) -> list[tuple[int, int]]:
        """Wait so long (for ever if negative) and return what is ready."""
        ready = self._selector.select(None if seconds < 0 else seconds)
        return [(key.fd, (IN if mask & 1 else 0) | (OUT if mask & 2 else 0)) for key, mask in ready]

    def fileno(self) -> int:
        """Its own descriptor, readable when something is ready."""
        return int(self._selector.fileno())  # those of epoll and kqueue have it

    def close(self) -> None:
        """Give it back."""
        self._selector.close()

    @staticmethod
    def _events(mask: int) -> int:
        return (selectors.EVENT_READ if mask & IN else 0) | (selectors.EVENT_WRITE if mask & OUT else 0)


def _new_set() -> _Set:
    return select.epoll() if hasattr(select, "epoll") else SelectorSet()


class Readiness:
    """Callbacks by descriptor. The set is made when it is needed and may be closed whenever nothing is watched."""

    def __init__(self, make: Callable[[], _Set] = _new_set) -> None:
        self._make = make
        self._opened: _Set | None = None
        self.watched: dict[int, list[Callback | None]] = {}  # fd: [readable, writable]

    @property
    def _set(self) -> _Set:
        if self._opened is None:
            self._opened = self._make()
        return self._opened

    def fileno(self) -> int:
        """Readable when something is ready: another loop may watch it."""
        return self._set.fileno()

    def close(self) -> None:
        """Give the descriptor back."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def serve(self, seconds: float) -> None:
        """Wait so long (for ever if negative), then call whom it concerns."""
        watched = self.watched
        # A callback may close a descriptor and open another that gets its number: what was reported is for the old one.
        opened = self._opened or self._set
        ready = [(fd, mask, watched.get(fd)) for fd, mask in opened.poll(seconds, MOST_AT_ONCE)]
        for fd, mask, callbacks in ready:
            if callbacks is None:
                continue
            # An end or an error concerns both.
            if mask & (IN | HUP | ERR) and callbacks[0] is not None and watched.get(fd) is callbacks:
                callbacks[0]()
            if mask & (OUT | HUP | ERR) and callbacks[1] is not None and watched.get(fd) is callbacks:
                callbacks[1]()

    def watch(self, fd: int, which: int, callback: Callback | None) -> None:
        """Call when `fd` can be read (`which` 0) or written (1); None stops that, also where nobody watched."""
        callbacks = self.watched.get(fd)
        if callbacks is None:
            if callback is None:
                return
            self.watched[fd] = [None, callback] if which else [callback, None]
            self._set.register(fd, OUT if which else IN)
            return
        before = callbacks[which]
        callbacks[which] = callback
        if callback is None and callbacks[1 - which] is None:
            # HUP is reported whatever the mask says: a descriptor nobody waits for must leave, or the loop spins.
            del self.watched[fd]
            self._set.unregister(fd)
        elif (callback is None) is not (before is None):
            self._set.modify(fd, _mask(callbacks))


def _mask(callbacks: list[Callback | None]) -> int:
    return (IN if callbacks[0] else 0) | (OUT if callbacks[1] else 0)
