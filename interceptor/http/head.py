"""Reads the head of an HTTP/1 message: the first line, the fields that frame the body, and what makes them ambiguous.

`http1` calls it. Nearly every head is strict and matches one expression. Where parsers differ (RFC 9112, 11.2: request
smuggling lives there) the reading follows the RFC, and the difference is noted; where the RFC demands a refusal,
`Fields.broken` says why.
"""

from __future__ import annotations

import re
from functools import lru_cache

from interceptor.http.exchange import Unreadable

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELDS = rb"((?:\r\n" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*)*)"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
REQUEST = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e\x80-\xff]+) (HTTP/1\.[01])" + _FIELDS + rb"\r\n\r\n")
RESPONSE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9][0-9])(?: (" + _VALUE + rb"))?" + _FIELDS + rb"\r\n\r\n")
_STRICT = re.compile(_FIELDS)
_NAME = re.compile(_TOKEN)
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_BREAK = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"\r\n[ \t]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
VERSIONS = {b"HTTP/1.1": "HTTP/1.1", b"HTTP/1.0": "HTTP/1.0"}

_LENGTH, _CODING = b"\r\ncontent-length:", b"\r\ntransfer-encoding:"
_UPGRADE, _CONNECTION, _HOST = b"\r\nupgrade:", b"\r\nconnection:", b"\r\nhost:"


class Fields:
    """The header fields of one message, and how they frame its body. Shared and not to be changed."""

    __slots__ = ("_lowered", "broken", "chunked", "coded", "doubts", "host", "length", "raw", "upgrade")

    def __init__(self, raw: bytes, *, strict: bool = False) -> None:
        """`raw` begins with the CRLF that ends the first line, and ends before the one that ends the last field.

        `strict` says that it is known to match `_FIELDS`.
        """
        self.doubts: tuple[str, ...] = ()
        if not strict and _STRICT.fullmatch(raw) is None:
            raw = self._straightened(raw)
        self.raw = raw
        lowered = self._lowered = raw.lower()
        self.broken = ""  # why the body's length can't be known
        self.chunked = False
        self.coded = False  # with a transfer coding, chunked or not
        self.length: int | None = None
        self.upgrade = ""  # what the message wants the connection to become
        self.host: str | None = None
        if _CODING in lowered:
            self._read_coding()
        if _LENGTH in lowered:
            self._read_length()
        if _UPGRADE in lowered:
            self._read_upgrade()
        start = lowered.find(_HOST)
        if start >= 0:
            start += len(_HOST)
            end = lowered.find(b"\r\n", start)
            self.host = lowered[start : end if end >= 0 else len(lowered)].strip(b" \t").decode("latin-1")
            if end >= 0 and lowered.find(_HOST, end) >= 0:
                self._doubt("several Host fields")

    def _values(self, name: bytes) -> list[bytes]:
        """All values of a field, in lower case; `name` as in the constants above."""
        found, text = [], self._lowered
        start = text.find(name)
        while start >= 0:
            start += len(name)
            end = text.find(b"\r\n", start)
            found.append(text[start : end if end >= 0 else len(text)].strip(b" \t"))
            start = text.find(name, start)
        return found

    def _doubt(self, text: str) -> None:
        if text not in self.doubts:
            self.doubts = (*self.doubts, text)

    def _read_coding(self) -> None:
        self.coded = True
        values = self._values(_CODING)
        codings = [coding.strip(b" \t") for value in values for coding in value.split(b",")]
        if len(values) > 1:
            self._doubt("several Transfer-Encoding fields")
        if codings.count(b"chunked") > 1 or (b"chunked" in codings and codings[-1] != b"chunked"):
            self._doubt("Transfer-Encoding does not end in one chunked")
        elif codings[-1] == b"chunked":
            self.chunked = True
        else:
            self._doubt(f"Transfer-Encoding {shown(values[0])}")
        if _LENGTH in self._lowered:
            self._doubt("Content-Length beside Transfer-Encoding")

    def _read_length(self) -> None:
        values = self._values(_LENGTH)
        value = values[0]
        if len(values) > 1 or b"," in value:
            self._doubt("several Content-Length")
            lengths = {length.strip(b" \t") for value in values for length in value.split(b",")}
            value = lengths.pop() if len(lengths) == 1 else b", ".join(values)
        if value.isdigit() and len(value) <= 18:
            self.length = int(value)
        elif not self.coded:
            self.broken = f"Content-Length {shown(value)}"
            self._doubt(self.broken)

    def _read_upgrade(self) -> None:
        options = [option.strip(b" \t") for value in self._values(_CONNECTION) for option in value.split(b",")]
        if b"upgrade" in options:
            self.upgrade = self._values(_UPGRADE)[0].decode("latin-1")

    def _straightened(self, raw: bytes) -> bytes:
        """Bring what lenient parsers accept into the strict form, and note it."""
        lines = _BREAK.sub(b"\r\n", raw)
        if lines != raw:
            self._doubt("lines end in a bare LF")
        if _FOLD.search(lines):
            self._doubt("a folded header line")
            lines = _FOLD.sub(b" ", lines)
            if not lines.startswith(b"\r\n"):  # the first field itself began with a blank
                lines = b"\r\n" + lines.lstrip(b" ")
        straight = []
        for line in lines.split(b"\r\n")[1:]:
            name, colon, value = line.partition(b":")
            if not colon:
                self._doubt(f"a header line without a colon: {shown(line)}")
            elif name != name.rstrip(b" \t"):
                self._doubt(f"a blank before the colon of {shown(name)}")
                line = name.rstrip(b" \t") + b":" + value  # noqa: PLW2901  what lenient parsers read
            elif _NAME.fullmatch(name) is None:
                self._doubt(f"a header named {shown(name)}")
            if _CONTROL.search(value):
                self._doubt(f"a control character in {shown(name)}")
            straight.append(b"\r\n" + line)
        return b"".join(straight)


# A connection's requests, and a second's responses, often have the same fields to the letter.
LONGEST_REMEMBERED = 1024


@lru_cache(maxsize=256)
def _remembered(raw: bytes) -> Fields:
    return Fields(raw, strict=True)


def read_fields(raw: bytes, strict: bool) -> Fields:
    """The fields of a head; see Fields."""
    if strict and len(raw) <= LONGEST_REMEMBERED:
        return _remembered(raw)
    return Fields(raw, strict=strict)


def request_line(line: bytes) -> tuple[str, str, str, list[str]]:
    """Method, target, version and doubts. Raises Unreadable for what is no request."""
    parts = line.split(b" ")
    doubts: list[str] = []
    if len(parts) != 3 or not parts[1]:
        parts = line.split()
        if len(parts) < 3 or not _VERSION.fullmatch(parts[-1]):
            raise Unreadable("not HTTP")
        doubts.append("odd blanks in the request line")
        parts = [parts[0], b" ".join(parts[1:-1]), parts[-1]]
    method, target, version = parts
    if not _NAME.fullmatch(method):
        raise Unreadable("not HTTP")
    name = VERSIONS.get(version)
    if name is None:
        if not _VERSION.fullmatch(version) or version.startswith(b"HTTP/2"):
            raise Unreadable("not HTTP")
        name = version.decode()
        doubts.append(f"version {name}")
    if _TARGET.fullmatch(target) is None:
        doubts.append("blanks or control characters in the target")
    return method.decode("ascii"), target.decode("latin-1"), name, doubts


def status_line(line: bytes) -> tuple[str, int, str]:
    """Version, status and reason. Raises Unreadable for what is no response."""
    version, _, rest = line.partition(b" ")
    code, _, reason = rest.partition(b" ")
    name = VERSIONS.get(version)
    if name is None or len(code) != 3 or not code.isdigit() or code < b"100":
        raise Unreadable("an answer that is not HTTP/1")
    return name, int(code), reason.decode("latin-1")


def shown(value: bytes) -> str:
    """Bytes of the other side's in words of ours: short, and quoted."""
    return repr(value[:40].decode("latin-1"))
