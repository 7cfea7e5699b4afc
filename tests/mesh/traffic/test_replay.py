"""Recorded requests are sent again as they were, and answers compared."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interceptor.cli.tap_export import HarWriter
from interceptor.errors import InterceptorError
from interceptor.mesh.traffic.recording import Recorded, read
from interceptor.mesh.traffic.replay import Answer, Replayer, differences
from tests.cli.test_tap_lines import RECORD

POST: dict[str, Any] = {
    **RECORD,
    "method": "POST",
    "path": "/books?q=1",
    "request_headers": [
        ["host", "orders"],
        ["content-length", "3"],
        ["x-user", "ana"],
        ["authorization", "Bearer ***"],
    ],
    "request_size": 3,
    "request_body": base64.b64encode(b"abc").decode(),
    "response_size": 2,
    "response_body": base64.b64encode(b"{}").decode(),
    "response_headers": [["content-type", "application/json"], ["date", "then"], ["set-cookie", "***"]],
}


@asynccontextmanager
async def server(*answers: bytes) -> AsyncIterator[tuple[Replayer, list[bytes]]]:
    """Answers in turn; an empty answer hangs up."""
    asked: list[bytes] = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            head = await reader.readuntil(b"\r\n\r\n")
            body = b""
            if b"content-length: " in head:
                body = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            asked.append(head + body)
            answer = left.pop(0)
            if not answer:
                break
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        replayer = Replayer("127.0.0.1", listening.sockets[0].getsockname()[1])
        try:
            yield replayer, asked
        finally:
            replayer.close()


def write(path: Path, *records: dict[str, Any]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        with path.open("w") as file:
            writer = HarWriter(file.write)
            for record in records:
                writer.add(record)
            writer.close()
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.har"])
async def test_as_recorded(tmp_path: Path, name: str) -> None:
    (recorded,) = read(write(tmp_path / name, POST))
    assert (recorded.masked, recorded.unplayable, recorded.answer) == (("authorization",), "", b"{}")
    ok = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: now\r\nContent-Length: 2\r\n\r\n{}"
    async with server(ok, ok) as (replayer, asked):
        for _ in range(2):
            outcome = await replayer.send(recorded)
            assert (outcome.error, outcome.differences) == ("", [])
    assert asked[0] == b"POST /books?q=1 HTTP/1.1\r\nhost: orders\r\nx-user: ana\r\ncontent-length: 3\r\n\r\nabc"


async def test_what_differs(tmp_path: Path) -> None:
    (recorded,) = read(write(tmp_path / "a.jsonl", POST))
    answer = b'HTTP/1.1 503 No\r\nContent-Type: text/plain\r\nX: y\r\n\r\n{"a": [1]}'
    async with server(answer) as (replayer, _):
        outcome = await replayer.send(recorded)
    assert outcome.differences == [
        "status: 200 -> 503",
        "header content-type: application/json -> text/plain",
        "header x: - -> y",
        "body.a: missing -> [1]",
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "the connection was closed without an answer"),
        (b"SSH-2.0\r\n", "the answer can't be read: an answer that is"),
    ],
)
async def test_no_answer(tmp_path: Path, answer: bytes, error: str) -> None:
    (recorded,) = read(write(tmp_path / "a.jsonl", POST))
    async with server(answer) as (replayer, _):
        assert (await replayer.send(recorded)).error.startswith(error)


async def test_nobody_listens(tmp_path: Path) -> None:
    (recorded,) = read(write(tmp_path / "a.jsonl", POST))
    async with server() as (replayer, _):
        pass
    assert (await replayer.send(recorded)).error


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"grpc_status": 0}, "gRPC"),
        ({"request_size": 4}, "its body was not recorded whole"),
        ({"upgrade": "websocket"}, "a connection that became websocket"),
        ({"method": ""}, "no request of its own"),
    ],
)
def test_unplayable(tmp_path: Path, more: dict[str, Any], why: str) -> None:
    (recorded,) = read(write(tmp_path / "a.jsonl", {**POST, **more}))
    assert recorded.unplayable == why


@pytest.mark.parametrize("text", ["{", '{"log": {}}', '{"a": 1}', "[1]", "hello\n{}"])
def test_no_recording(tmp_path: Path, text: str) -> None:
    for name in ("a.har", "a.jsonl"):
        (tmp_path / name).write_text(text)
        with pytest.raises(InterceptorError, match="is not a recording"):
            list(read(tmp_path / name))


def test_json_bodies_are_compared_by_place() -> None:
    def recorded(body: bytes) -> Recorded:
        return Recorded(0.0, "GET", "/", "", [], b"", 200, [], body, None)

    def compare(one: object, two: object) -> list[str]:
        return differences(recorded(json.dumps(one).encode()), Answer(200, [], json.dumps(two).encode(), 1.0, True))

    assert compare({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}) == []
    assert compare({"a": 1, "b": [1, {"c": 2}]}, {"a": 1.5, "b": [1, {"c": "2"}, 3]}) == [
        "body.a: 1 -> 1.5",
        'body.b[1].c: 2 -> "2"',
        "body.b: 2 -> 3 items",
    ]
    assert compare(list(range(30)), [0] * 30)[-1] == "and 9 more"
    binary = differences(recorded(b"abc"), Answer(200, [], b"abd", 1.0, True))
    assert binary == ["body: 3 -> 3 bytes, the first difference at 2"]
