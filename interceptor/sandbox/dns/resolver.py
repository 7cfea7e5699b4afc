"""The pod's name servers as a sandbox sees them: `datagrams` hands questions in, answers come back by a callback.

One flow of datagrams to each server carries the questions of all programs; each gets a number of ours meanwhile, so
that two programs' questions never meet. A question that gets no answer is forgotten: its program asks again, and takes
TCP by itself where an answer is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol

from interceptor.sandbox.dns import message
from interceptor.sandbox.dns.cache import Cache

PATIENCE = 10.0  # seconds; resolvers give up after five
MOST_ASKED = 4096
PORT = 53
_NUMBER = struct.Struct("!H")

Reply = Callable[[bytes], None]


class Flow(Protocol):
    """Datagrams to and from one place."""

    def send(self, datagram: bytes) -> None:
        """Send one, or lose it."""


class _Asked(NamedTuple):
    query: bytes
    reply: Reply
    until: float


class Resolver:
    """Answers of one name server, from the cache or from there."""

    def __init__(self, server: str, cache: Cache, flow: Callable[[Callable[[bytes | None], None]], Flow]) -> None:
        self._server, self._cache = server, cache
        self._loop = asyncio.get_running_loop()
        self._flow = flow(self._answered)
        self._asked: dict[int, _Asked] = {}  # the oldest first
        self._next = secrets.randbelow(65536)

    def ask(self, query: bytes, reply: Reply) -> None:
        """Answer a query, now or when the server has; bytes that are no question are lost."""
        now = self._loop.time()
        found = self._cache.find(self._server, query, now)
        if found is not None:
            reply(found)
            return
        try:
            message.question(query)
        except message.BadMessage:
            return
        self._forget(now)
        if len(self._asked) >= MOST_ASKED:
            return
        while self._next in self._asked:
            self._next = (self._next + 1) & 0xFFFF
        number, self._next = self._next, (self._next + 1) & 0xFFFF
        self._asked[number] = _Asked(query, reply, now + PATIENCE)
        self._flow.send(_NUMBER.pack(number) + query[2:])

    def _answered(self, response: bytes | None) -> None:
        if response is None or len(response) < 12:  # nobody listens there: programs ask again, or another server
            return
        (number,) = _NUMBER.unpack_from(response)
        asked = self._asked.pop(number, None)
        if asked is not None:
            asked.reply(asked.query[:2] + response[2:])
            self._cache.keep(self._server, asked.query, response, self._loop.time())

    def _forget(self, now: float) -> None:
        while self._asked:
            number = next(iter(self._asked))
            if self._asked[number].until > now:
                return
            del self._asked[number]


def servers(resolv: str) -> tuple[str, ...]:
    """The name servers of a resolv.conf, spelled as the kernel spells addresses."""
    found = []
    for words in (line.split() for line in resolv.splitlines()):
        if len(words) > 1 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):  # a line that the pod's resolver passes over too
                found.append(str(ipaddress.ip_address(words[1])))
    return tuple(found)
