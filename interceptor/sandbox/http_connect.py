"""What an HTTP proxy is asked, as values: a request's head in, the target out; `sandbox.proxy` drives it.

Two forms (RFC 9112, 3.2): `CONNECT host:port`, which opens a byte stream, and `GET http://host/path`, which is
passed on as `GET /path` with `Connection: close`: the bytes after the head are relayed unread, so one connection
carries one request. Every other form is refused, above all the one a browser's page can send to loopback
(`GET /path`): a page that rebinds its name to 127.0.0.1 gets nowhere.
"""

import re
from typing import NamedTuple

from interceptor.wire.reasons import Reason

MAX_HEAD = 64 * 1024
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*)")
_HOST = re.compile(r"[A-Za-z0-9._~%-]{1,255}|\[[0-9A-Fa-f:.]+\]")
# Fields that end at a proxy; Host is written anew from the target.
_HOP_BY_HOP = {b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive", b"te", b"host", b"upgrade"}
_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class BadRequest(Exception):
    """The head can't be served; answered with `status` and the text."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class ProxyRequest(NamedTuple):
    """Where a client wants to go, and the head to send there first: empty for CONNECT."""

    host: str
    port: int
    head: bytes

    @property
    def is_connect(self) -> bool:
        """Tell whether the client waits for our word before it speaks to the target."""
        return not self.head


def head_length(data: bytes) -> int | None:
    """Tell how long the head at the start of `data` is; None while some of it is missing."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end >= 0:
        return end + 4
    if len(data) >= MAX_HEAD:
        raise BadRequest(f"the request's head is longer than {MAX_HEAD} bytes", 431)
    return None


def parse_head(head: bytes) -> ProxyRequest:
    """Read a whole head, its empty line included."""
    first, *lines = head[:-4].split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise BadRequest("this is a SOCKS5 and HTTP proxy, and that was neither")
    method, target = match[1], match[2].decode("ascii")
    fields = [_field(line) for line in lines]
    if method == b"CONNECT":
        host, port = _authority(target, None)
        return ProxyRequest(host, port, b"")
    if not target.lower().startswith("http://"):
        raise BadRequest("this is a proxy, not a server: set it as http_proxy and name the target as http://...")
    return _forwarded(method, target, fields)


def response(status: int, text: str) -> bytes:
    """Make an answer of our own. The reason stands in the first line too: for CONNECT most clients show only that."""
    line = " ".join(text.split()).encode("ascii", "replace")
    body = line + b"\n"
    phrase = _PHRASES[status].encode() if status in _PHRASES else line[:200]
    return (
        b"HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Length: %d\r\n"
        b"Connection: close\r\nVia: 1.1 interceptor\r\n\r\n%s" % (status, phrase, len(body), body)
    )


def status_of(reason: Reason) -> int:
    """Translate why the pod could not connect."""
    return 504 if reason is Reason.TIMEOUT else 502


def _forwarded(method: bytes, target: str, fields: list[tuple[bytes, bytes]]) -> ProxyRequest:
    authority = re.split("[/?#]", target[len("http://") :], maxsplit=1)[0]
    path = target[len("http://") + len(authority) :]
    # `user:password@` is the client's affair: it sends an Authorization field of its own.
    authority = authority.rpartition("@")[2]
    host, port = _authority(authority, 80)
    websocket = any(name.lower() == b"upgrade" and value.lower() == b"websocket" for name, value in fields)
    closing = b"Connection: Upgrade\r\nUpgrade: websocket\r\n" if websocket else b"Connection: close\r\n"
    kept = b"".join(b"%s: %s\r\n" % field for field in fields if field[0].lower() not in _HOP_BY_HOP)
    if not path.startswith("/"):
        path = "*" if method == b"OPTIONS" and not path else "/" + path
    line = b"%s %s HTTP/1.1\r\nHost: %s\r\n" % (method, path.encode("ascii"), authority.encode("ascii"))
    return ProxyRequest(host, port, line + kept + closing + b"\r\n")


def _field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise BadRequest("the request's head holds a line that is no header field")
    return match[1], match[2].rstrip(b" \t")


def _authority(text: str, default_port: int | None) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    if not _HOST.fullmatch(host) or (port and not (port.isdigit() and len(port) <= 5)):
        raise BadRequest(f"{text!r} is not host:port")
    number = int(port) if port else default_port
    if number is None or not 1 <= number <= 65535:
        raise BadRequest(f"{text!r} names no port from 1 to 65535")
    return host.strip("[]"), number
