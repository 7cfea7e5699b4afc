"""Answers kept as long as they say, and no longer; `resolver` asks it first. Pure: the caller says what time it is."""

from __future__ import annotations

from typing import NamedTuple

from interceptor.sandbox.dns import message

LONGEST = 3600.0  # seconds: a pod's name server keeps nothing longer either
MOST = 4096  # answers; the oldest makes room
MOST_BYTES = 4 * 1024 * 1024  # of questions and answers, either of which may fill a datagram


class _Kept(NamedTuple):
    response: bytes
    lives: tuple[int, ...]
    since: float
    until: float


class Cache:
    """The answers of one sandbox."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], _Kept] = {}
        self._size = 0

    def find(self, server: str, query: bytes, now: float) -> bytes | None:
        """The answer to `query`, if a living one is known. A query is the same only if all its bytes are."""
        kept = self._kept.get((server, query[2:]))
        if kept is None:
            return None
        if now >= kept.until:
            self._drop((server, query[2:]))
            return None
        return message.aged(kept.response, query[:2], kept.lives, int(now - kept.since))

    def keep(self, server: str, query: bytes, response: bytes, now: float) -> None:
        """Keep an answer; what is none is passed over."""
        try:
            answer = message.read(response)
        except message.BadMessage:
            return
        if not answer.seconds:
            return
        key = server, query[2:]
        self._drop(key)
        self._kept[key] = _Kept(response, answer.lives, now, now + min(answer.seconds, LONGEST))
        self._size += len(key[1]) + len(response)
        while len(self._kept) > MOST or self._size > MOST_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, bytes]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size -= len(key[1]) + len(kept.response)
