"""Reads recorded requests for `replay`: what `tap --record` wrote, or any HAR (a browser's, a proxy's)."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from interceptor.errors import InterceptorError
from interceptor.mesh.traffic.masking import MASK

LARGEST_HAR = 256 * 1024 * 1024
CUT = "{} ends in the middle of a request: that one is left out"
Headers = list[tuple[str, str]]

# They describe the old connection or the old form of the body; a replay makes its own.
_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "content-length", "upgrade", "te", "expect"}
)


@dataclass(frozen=True)
class Recorded:
    """One request as it was, and what it was answered."""

    time: float  # seconds since 1970
    method: str
    path: str
    authority: str
    headers: Headers  # to send; without those of the connection
    body: bytes
    status: int
    answer_headers: Headers
    answer: bytes | None  # None: not recorded, or not whole
    latency: float | None  # milliseconds
    unplayable: str = ""  # why it can't be sent again
    masked: tuple[str, ...] = ()  # headers whose value was hidden, and which are left out


def read(path: Path, note: Callable[[str], None] = lambda _: None) -> Iterator[Recorded]:
    """The requests of a file, one after the other; `note` hears if its end is cut off. Raises InterceptorError."""
    hint = "it takes what tap --record writes: FILE.jsonl or FILE.har"
    try:
        if path.suffix == ".jsonl":
            yield from _of_lines(path, note)
            return
        if path.stat().st_size > LARGEST_HAR:
            raise InterceptorError(
                f"{path} has more than {LARGEST_HAR >> 20} MiB", hint="record to FILE.jsonl: it is read line by line"
            )
        for entry in _document(path, note)["log"]["entries"]:
            yield _of_entry(entry)
    except OSError as error:
        raise InterceptorError(f"can't read {path}: {error.strerror}") from error
    except KeyError as error:
        raise InterceptorError(f"{path} is not a recording: {error} is missing in it", hint=hint) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InterceptorError(f"{path} is not a recording: {error}", hint=hint) from error


def _of_lines(path: Path, note: Callable[[str], None]) -> Iterator[Recorded]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
            except ValueError as error:
                if number == 1 or line.endswith("\n"):
                    raise ValueError(f"line {number}: {error}") from error
                note(CUT.format(path))
                return
            yield of_record(record)


def _document(path: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """A HAR; of one whose writer was killed, what is whole: `tap` writes each request on a line of its own."""
    text = path.read_text(encoding="utf-8")
    try:
        document: dict[str, Any] = json.loads(text)
    except ValueError:
        for whole in (text, text.rpartition(",\n")[0]):
            with contextlib.suppress(ValueError):
                document = json.loads(whole + "\n]}}")
                note(CUT.format(path))
                return document
        raise
    return document


def of_record(record: dict[str, Any]) -> Recorded:
    """From a record as `tap` shows it. Raises KeyError, TypeError or ValueError where it is none."""
    body = base64.b64decode(record.get("request_body") or "")
    answer = base64.b64decode(record.get("response_body") or "")
    unplayable = ""
    if "grpc_status" in record:
        unplayable = "gRPC"
    elif record.get("upgrade"):
        unplayable = f"a connection that became {record['upgrade']}"
    elif not record["method"] or record["method"] == "CONNECT":
        unplayable = "no request of its own"
    elif record["request_size"] is None or len(body) < int(record["request_size"]):  # None: the mesh's tap can't tell
        unplayable = "its body was not recorded whole"
    headers = [(name, value) for name, value in record["request_headers"]]
    return Recorded(
        time=datetime.fromisoformat(record["time"]).timestamp(),
        method=record["method"],
        path=record["path"],
        authority=record["authority"],
        headers=_sendable(headers),
        body=body,
        status=int(record["status"]),
        answer_headers=[(name, value) for name, value in record["response_headers"]],
        answer=answer if len(answer) == int(record["response_size"]) else None,
        latency=record.get("latency_ms"),
        unplayable=unplayable,
        masked=_masked(headers),
    )


def _of_entry(entry: dict[str, Any]) -> Recorded:
    request, response = entry["request"], entry["response"]
    parts = urlsplit(request["url"])
    headers = [(header["name"].lower(), header["value"]) for header in request["headers"] if header["name"][:1] != ":"]
    body = _bytes(request.get("postData") or {})
    size = int(request.get("bodySize") or -1)
    content = response.get("content") or {}
    answer = _bytes(content) if "text" in content else None
    if answer is None and not content.get("size"):
        answer = b""
    unplayable = ""
    if entry.get("_grpc_status") is not None:
        unplayable = "gRPC"
    elif 0 < len(body) < size or (size > 0 and not body):
        unplayable = "its body was not recorded whole"
    elif response["status"] == 101:
        unplayable = "a connection that became something else"
    return Recorded(
        time=datetime.fromisoformat(entry["startedDateTime"]).timestamp(),
        method=request["method"],
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        authority=parts.netloc,
        headers=_sendable(headers),
        body=body,
        status=int(response["status"]),
        answer_headers=[(header["name"].lower(), header["value"]) for header in response["headers"]],
        answer=answer if answer is None or len(answer) == int(content.get("size") or len(answer)) else None,
        latency=(entry.get("timings") or {}).get("wait"),
        unplayable=unplayable,
        masked=_masked(headers),
    )


def _bytes(content: dict[str, Any]) -> bytes:
    text = str(content.get("text") or "")
    return base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()


def _sendable(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name not in _HOP and name != "host" and MASK not in value]


def _masked(headers: Headers) -> tuple[str, ...]:
    return tuple(name for name, value in headers if MASK in value)
