"""Answers kept as long as they say, and no longer; `resolver` asks it first. Pure: the caller says what time it is."""

from __future__ import annotations

from typing import NamedTuple

from interceptor.sandbox.dns import message

LONGEST = 3600.0  # seconds: a pod's name server keeps nothing longer either
MOST = 4096  # answers; the oldest makes room


class _Kept(NamedTuple):
    response: bytes
    lives: tuple[int, ...]
    since: float
    until: float


class Cache:
    """The answers of one sandbox."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], _Kept] = {}

    def find(self, server: str, query: bytes, now: float) -> bytes | None:
        """The answer to `query`, if a living one is known. A query is the same only if all its bytes are."""
        kept = self._kept.get((server, query[2:]))
        if kept is None:
            return None
        if now >= kept.until:
            del self._kept[server, query[2:]]
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
        self._kept.pop(key, None)
        self._kept[key] = _Kept(response, answer.lives, now, now + min(answer.seconds, LONGEST))
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
