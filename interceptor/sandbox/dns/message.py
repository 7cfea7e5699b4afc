"""DNS messages, as far as a cache must understand them (RFC 1035, RFC 2308); `cache` reads answers with it. Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_RESPONSE, _TRUNCATED = 0x8000, 0x0200
_SOA, _OPT = 6, 41
NO_ERROR, NO_SUCH_NAME = 0, 3


class BadMessage(Exception):
    """These bytes are no DNS message."""


class Answer(NamedTuple):
    """What a response says about its own life."""

    seconds: int  # 0: not to be kept
    lives: tuple[int, ...]  # where the TTLs stand


def question(query: bytes) -> bytes:
    """All of a query that matters for its answer: everything but its number. Raises BadMessage when it is none."""
    if len(query) < _HEADER.size:
        raise BadMessage("shorter than a header")
    _, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & _RESPONSE or questions != 1:
        raise BadMessage("no question")
    return query[2:]


def read(response: bytes) -> Answer:
    """How long a response may be kept: the least TTL; a negative one as its SOA says. Raises BadMessage."""
    if len(response) < _HEADER.size:
        raise BadMessage("shorter than a header")
    _, flags, questions, answers, authorities, additional = _HEADER.unpack_from(response)
    at = _HEADER.size
    for _ in range(questions):
        at = _skip_name(response, at) + 4
    lives: list[int] = []
    least: int | None = None
    negative: int | None = None
    for number in range(answers + authorities + additional):
        at = _skip_name(response, at)
        try:
            kind, _, seconds, length = _RECORD.unpack_from(response, at)
        except struct.error as error:
            raise BadMessage("a record is cut off") from error
        data = at + _RECORD.size
        if kind != _OPT:  # whose TTL is none
            lives.append(at + 4)
            least = seconds if least is None else min(least, seconds)
            if kind == _SOA and answers <= number < answers + authorities:
                negative = min(seconds, _minimum(response, data))
        at = data + length
        if at > len(response):
            raise BadMessage("a record is cut off")
    code = flags & 15
    if flags & _TRUNCATED or code not in (NO_ERROR, NO_SUCH_NAME):
        return Answer(0, ())
    if not answers or code == NO_SUCH_NAME:  # RFC 2308, 5: without a SOA it is not kept
        return Answer(min(negative, least or 0) if negative is not None else 0, tuple(lives))
    return Answer(least or 0, tuple(lives))


def aged(response: bytes, number: bytes, lives: tuple[int, ...], seconds: int) -> bytes:
    """Make it the answer to question `number`, `seconds` later."""
    made = bytearray(response)
    made[:2] = number
    for at in lives:
        (life,) = struct.unpack_from("!I", made, at)
        struct.pack_into("!I", made, at, max(0, life - seconds))
    return bytes(made)


def _minimum(message: bytes, at: int) -> int:
    at = _skip_name(message, _skip_name(message, at))
    try:
        return int(struct.unpack_from("!5I", message, at)[4])
    except struct.error as error:
        raise BadMessage("a SOA is cut off") from error


def _skip_name(message: bytes, at: int) -> int:
    while at < len(message):
        length = message[at]
        if length == 0:
            return at + 1
        if length & 0xC0:
            return at + 2
        at += 1 + length
    raise BadMessage("a name is cut off")
