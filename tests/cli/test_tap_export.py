"""Requests in other programs' forms."""

from __future__ import annotations

import base64
import io
import json
import shlex

from interceptor.cli.tap_export import HarWriter, curl, har_entry
from tests.cli.test_tap_lines import RECORD

POST = {
    **RECORD,
    "method": "POST",
    "path": "/books?q=it's",
    "request_headers": [["host", "orders"], ["content-type", "text/plain"], ["content-length", "3"]],
    "request_size": 3,
    "request_body": base64.b64encode(b"a b").decode(),
    "response_body": base64.b64encode(b"\xff").decode(),
    "cancelled": "the caller",
}


def test_curl() -> None:
    assert shlex.split(curl(POST)) == [
        *("curl", "--include", "--request", "POST"),
        *("--header", "content-type: text/plain", "--data-binary", "a b", "http://orders/books?q=it's"),
    ]
    assert "--http2-prior-knowledge" in curl({**RECORD, "protocol": "HTTP/2"})
    assert "--head" in curl({**RECORD, "method": "HEAD"})


def test_har() -> None:
    entry = har_entry(POST)
    assert entry["request"]["postData"] == {"mimeType": "text/plain", "text": "a b"}
    assert entry["request"]["queryString"] == [{"name": "q", "value": "it's"}]
    assert entry["response"]["content"]["encoding"] == "base64"
    assert (entry["time"], entry["timings"]["wait"], entry["_cancelled"]) == (13.0, 12.34, "the caller")


def test_har_names_the_trace() -> None:
    entry = har_entry({**RECORD, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"})
    assert (entry["_trace_id"], entry["comment"]) == (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
    )
    assert "comment" not in har_entry(RECORD)


def test_har_document() -> None:
    for count in (0, 1, 3):
        text = io.StringIO()
        writer = HarWriter(text.write)
        for _ in range(count):
            writer.add(RECORD)
        writer.close()
        log = json.loads(text.getvalue())["log"]
        assert (log["version"], len(log["entries"]), log["creator"]["name"]) == ("1.2", count, "interceptor")
