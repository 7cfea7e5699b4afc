"""Requests in other programs' forms: a curl command line, and HAR; `cli.tap` prints and writes them."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from interceptor import __version__

Record = dict[str, Any]

_OURS = (
    "direction", "pod", "peer", "caller", "caller_id", "route", "grpc_status", "cancelled", "ambiguities", "trace_id",
)  # fmt: skip

_HOP = frozenset({"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te"})


def curl(record: Record, host: str = "") -> str:
    """A command that asks the same again; of a body only what was kept."""
    words = ["curl", "--include"]
    if record["protocol"] == "HTTP/2":
        words.append("--http2-prior-knowledge")
    if record["method"] == "HEAD":
        words.append("--head")
    elif record["method"] != "GET":
        words += ["--request", record["method"]]
    for name, value in record["request_headers"]:
        if name not in _HOP:
            words += ["--header", f"{name}: {value}"]
    body = base64.b64decode(record.get("request_body") or "")
    if body:
        words += ["--data-binary", body.decode("utf-8", "replace")]
    words.append(f"http://{host or record['authority'] or 'localhost'}{record['path']}")
    return shlex.join(words)


def har_entry(record: Record) -> dict[str, Any]:
    """One request as HAR 1.2 wants it; what HAR has no place for stands under names that begin with _."""
    url = f"http://{record['authority'] or 'localhost'}{record['path']}"
    latency, duration = record["latency_ms"] or 0.0, record["duration_ms"] or 0.0
    entry: dict[str, Any] = {
        "startedDateTime": record["time"],
        "time": duration,
        "request": {
            "method": record["method"],
            "url": url,
            "httpVersion": record["protocol"],
            "cookies": [],
            "headers": _pairs(record["request_headers"]),
            "queryString": [
                {"name": name, "value": value} for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)
            ],
            "headersSize": -1,
            "bodySize": -1 if record["request_size"] is None else record["request_size"],
        },
        "response": {
            "status": record["status"],
            "statusText": "",
            "httpVersion": record["protocol"],
            "cookies": [],
            "headers": _pairs(record["response_headers"]),
            "content": _content(record),
            "redirectURL": _first(record["response_headers"], "location"),
            "headersSize": -1,
            "bodySize": record["response_size"],
        },
        "cache": {},
        "timings": {"send": 0, "wait": latency, "receive": max(0.0, duration - latency)},
    }
    if record.get("request_body"):
        kind = _first(record["request_headers"], "content-type")
        text, encoding = _text(record["request_body"])
        entry["request"]["postData"] = {"mimeType": kind, "text": text, **encoding}
    for name in _OURS:
        if record.get(name) not in (None, "", []):
            entry[f"_{name}"] = record[name]
    if record.get("trace_id"):
        entry["comment"] = f"trace {record['trace_id']}"  # where other programs show it
    return entry


class HarWriter:
    """Writes a HAR document request by request, so that a long recording needs no memory."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._first = True
        creator = json.dumps({"name": "interceptor", "version": __version__})
        write(f'{{"log": {{"version": "1.2", "creator": {creator}, "entries": [')

    def add(self, record: Record) -> None:
        """One more request."""
        comma = "\n" if self._first else ",\n"
        self._first = False
        self._write(comma + json.dumps(har_entry(record), ensure_ascii=False))

    def close(self) -> None:
        """The end of the document."""
        self._write("\n]}}\n")


def _content(record: Record) -> dict[str, Any]:
    content: dict[str, Any] = {
        "size": record["response_size"],
        "mimeType": _first(record["response_headers"], "content-type"),
    }
    if record.get("response_body"):
        text, encoding = _text(record["response_body"])
        content |= {"text": text, **encoding}
    return content


def _text(body: str) -> tuple[str, dict[str, str]]:
    try:
        return base64.b64decode(body).decode("utf-8"), {}
    except UnicodeDecodeError:
        return body, {"encoding": "base64"}


def _pairs(headers: list[list[str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _first(headers: list[list[str]], wanted: str) -> str:
    return next((value for name, value in headers if name == wanted), "")
