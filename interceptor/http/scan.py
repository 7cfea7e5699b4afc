"""Finds the heads of HTTP/1 messages in passing bytes, and what can't become one; `http1` calls it, `head` reads them."""

from __future__ import annotations

import re

from interceptor.http.exchange import MOST_HEAD, Data, Unreadable
from interceptor.http.head import REQUEST, RESPONSE, VERSIONS, request_line, status_line

TLS_HANDSHAKE = 0x16  # the first byte of a TLS connection
WINDOW = 4096  # bytes copied to look for the end of a head: nearly all heads are shorter
_END = re.compile(rb"\n\r?\n")

Request = tuple[str, str, str, bytes, bool, list[str]]
"""Method, target, version, the fields as `head.Fields` wants them, whether these are strict, doubts."""
Response = tuple[str, int, str, bytes, bool]
"""Version, status, reason, fields, whether these are strict."""


def find_request(held: bytes, data: Data, start: int) -> tuple[Request | None, int]:
    """The request's head that `held` and `data` from `start` begin with, and where in `data` it ends.

    None while it is incomplete; also for blank lines alone, which end before the data does. Raises Unreadable.
    """
    head, end = _find_head(held, data, start)
    if head is None or not (head := head.lstrip(b"\r\n")):
        return None, end
    match = REQUEST.match(head)
    if match is not None:
        method, target, version, raw = match.groups()
        return (method.decode("ascii"), target.decode("latin-1"), VERSIONS[version], raw, True, []), end
    line, raw = _split(head)
    name, text, protocol, doubts = request_line(line)
    return (name, text, protocol, raw, False, doubts), end


def find_response(held: bytes, data: Data, start: int) -> tuple[Response | None, int]:
    """The same for a response's head."""
    head, end = _find_head(held, data, start)
    if head is None:
        return None, end
    match = RESPONSE.match(head)
    if match is not None:
        version, code, reason, raw = match.groups()
        return (VERSIONS[version], int(code), (reason or b"").decode("latin-1"), raw, True), end
    line, raw = _split(head)
    protocol, status, text = status_line(line)
    return (protocol, status, text, raw, False), end


def check_beginning(held: bytes) -> None:
    """Refuse what can't become a request, however it goes on."""
    if not held:
        return
    if not 0x21 <= held[0] <= 0x7E:
        raise Unreadable("TLS" if held[0] == TLS_HANDSHAKE else "not HTTP")
    end = held.find(b"\n")
    if end >= 0:
        request_line(held[:end].rstrip(b"\r"))


def check_answer(held: bytes) -> None:
    """The same for a response."""
    if held[:7] != b"HTTP/1."[: len(held)]:
        raise Unreadable("an answer that is not HTTP/1")


def _find_head(held: bytes, data: Data, start: int) -> tuple[bytes | None, int]:
    """The head that `held` and `data` from `start` begin with, and where in `data` it ends; None while incomplete.

    A bare LF ends lines for most parsers, so whichever blank line comes first ends the head.
    """
    before, step = len(held), WINDOW
    while True:
        text = held + bytes(data[start : start + step])
        end = _END.search(text, max(0, before - 2))
        if end is not None:
            return text[: end.end()], start + end.end() - before
        if start + step >= len(data) or step > MOST_HEAD:
            return None, len(data)
        step *= 4


def _split(head: bytes) -> tuple[bytes, bytes]:
    """The first line, and the fields as `head.Fields` wants them."""
    end = head.find(b"\n")
    if head.endswith(b"\r\n\r\n") and head[end - 1] == 13:
        return head[: end - 1], head[end - 1 : -4]
    # Some line ends are bare: leave one of them in, so that it is noticed.
    return head[:end].rstrip(b"\r"), b"\n" + head[end + 1 :].rstrip(b"\r\n")
