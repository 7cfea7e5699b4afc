"""What the head of an HTTP/1 message means, for its exchange and for how the connection goes on; `http1` asks for each.

Callers repeat themselves, and so do servers: heads that came before, to the letter, are not read again. What is
remembered is bounded in number and size, and shared by all connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from interceptor.http.exchange import Data
from interceptor.http.head import LONGEST_REMEMBERED, REQUEST, RESPONSE, VERSIONS, Fields, read_fields
from interceptor.http.scan import find_request, find_response

MOST_REMEMBERED = 256
_END = b"\r\n\r\n"


class RequestHead:
    """A request's head. Shared and not to be changed."""

    __slots__ = (
        "ambiguities",
        "authority",
        "bare",
        "chunked",
        "fields",
        "length",
        "method",
        "path",
        "protocol",
        "scheme",
        "unreadable",
        "upgrade",
    )

    def __init__(self, method: str, target: str, version: str, fields: Fields, doubts: Sequence[str] = ()) -> None:
        self.method, self.path, self.protocol, self.fields = method, target, version, fields.raw
        self.authority = fields.host or ""
        self.scheme = ""
        doubts = list(doubts)
        if fields.host is None and version == "HTTP/1.1":
            doubts.append("no Host")
        if target[:1] != "/":
            doubts += self._read_absolute()
        if fields.coded and version == "HTTP/1.0":
            doubts.append("Transfer-Encoding in HTTP/1.0")
        self.ambiguities = tuple(dict.fromkeys([*doubts, *fields.doubts]))
        self.upgrade = fields.upgrade or ("connect" if method == "CONNECT" else "")
        self.unreadable = ""  # why it can't be known where the request ends
        if fields.broken or (fields.coded and not fields.chunked):
            self.unreadable = fields.broken or fields.doubts[0]
        self.chunked = fields.chunked
        self.length = fields.length or 0
        # Nearly all: no body, and what follows is the next request.
        self.bare = not (self.length or self.chunked or self.upgrade or self.unreadable)

    def _read_absolute(self) -> list[str]:
        """A target that is not a path: a proxy's absolute form, CONNECT's authority, or `*`. Returns doubts."""
        target = self.path
        if self.method == "CONNECT":
            self.authority, self.path = target.lower(), ""
            return []
        scheme, colon, rest = target.partition("://")
        if not colon:
            return ["a target that is no path"] if target != "*" else []
        authority, slash, path = rest.partition("/")
        differs = bool(self.authority) and self.authority != authority.lower()
        self.scheme, self.authority, self.path = scheme.lower(), authority.lower(), slash + path
        return ["Host differs from the target's"] if differs else []


class ResponseHead:
    """A response's head. Shared and not to be changed."""

    __slots__ = (
        "chunked", "coded", "doubts", "fields", "length", "plain", "protocol", "raw", "reason", "status", "unreadable",
        "upgrade",
    )  # fmt: skip

    def __init__(self, protocol: str, status: int, reason: str, fields: Fields) -> None:
        self.raw = b""  # all of it, if it is plain and remembered
        self.protocol, self.status, self.reason, self.fields = protocol, status, reason, fields.raw
        self.doubts = fields.doubts
        self.unreadable = fields.broken
        self.chunked, self.coded, self.length = fields.chunked, fields.coded, fields.length
        self.upgrade = fields.upgrade
        # Nearly all: a body of known length follows, unless the request forbids it, and then the next response.
        self.plain = not (
            self.doubts or self.unreadable or self.coded or self.length is None or status < 200 or status in (204, 304)
        )


_requests: dict[bytes, RequestHead] = {}
_responses: dict[bytes, ResponseHead] = {}
Head = TypeVar("Head", RequestHead, ResponseHead)

known_request = _requests.get
"""The head that these bytes are, without a byte more, if it came before."""


def strict_request(data: Data, start: int) -> tuple[RequestHead, int] | None:
    """The head of a request at `start` and where it ends; None unless it is whole and strict."""
    raw = _whole_head(data, start)
    if raw is None:
        return None
    known = _requests.get(raw)
    if known is not None:
        return known, start + len(raw)
    match = REQUEST.match(data, start)  # it copies nothing but what it found
    if match is None:
        return None
    method, target, version, fields = match.groups()
    head = RequestHead(method.decode("ascii"), target.decode("latin-1"), VERSIONS[version], read_fields(fields, True))
    _remember(_requests, raw, head)
    return head, match.end()


def strict_response(data: Data, start: int) -> tuple[ResponseHead, int] | None:
    """The same for a response's head."""
    raw = _whole_head(data, start)
    if raw is None:
        return None
    known = _responses.get(raw)
    if known is not None:
        return known, start + len(raw)
    match = RESPONSE.match(data, start)
    if match is None:
        return None
    version, code, reason, fields = match.groups()
    head = ResponseHead(VERSIONS[version], int(code), (reason or b"").decode("latin-1"), read_fields(fields, True))
    _remember(_responses, raw, head)
    if head.plain and len(raw) <= LONGEST_REMEMBERED:
        head.raw = raw
    return head, match.end()


def any_request(held: bytes, data: Data, start: int) -> tuple[RequestHead | None, int]:
    """A head in pieces, or one that is not strict; see `scan.find_request`."""
    found, end = find_request(held, data, start)
    if found is None:
        return None, end
    method, target, version, raw, strict, doubts = found
    return RequestHead(method, target, version, read_fields(raw, strict), doubts), end


def any_response(held: bytes, data: Data, start: int) -> tuple[ResponseHead | None, int]:
    """The same for a response's head."""
    found, end = find_response(held, data, start)
    if found is None:
        return None, end
    protocol, status, reason, raw, strict = found
    return ResponseHead(protocol, status, reason, read_fields(raw, strict)), end


def _whole_head(data: Data, start: int) -> bytes | None:
    """The bytes of a head, to look it up by; none of them where `data` can't be searched, None where it is in pieces."""
    if type(data) is not bytes:
        return b""
    end = data.find(_END, start)
    return None if end < 0 else data[start : end + len(_END)]


def _remember(heads: dict[bytes, Head], raw: bytes, head: Head) -> None:
    """Keep what was read of a head. A strict one has no blank line within: `raw` is all of it, or empty."""
    if raw and len(raw) <= LONGEST_REMEMBERED:
        if len(heads) >= MOST_REMEMBERED:
            heads.clear()
        heads[raw] = head
