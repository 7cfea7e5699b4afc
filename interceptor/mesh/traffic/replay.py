"""Sends recorded requests again, to a local process, and compares what it answers; `cli.replay` runs it and prints.

Answers are read by the same eyes that recorded them: `interceptor.http`. One connection per request under way, kept for
the next where the server keeps it open.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.http.exchange import Exchange
from interceptor.http.watch import Watch
from interceptor.mesh.traffic.recording import Headers, Recorded

ANSWER_TIME = 60.0
CONNECT_TIME = 10.0
MOST_KEPT = 16 * 1024 * 1024  # bytes of an answer that are compared
MOST_AT_ONCE = 64
MOST_DIFFERENCES = 20  # of one answer
_READ = 64 * 1024

# They differ between any two answers, or say how the answer travelled.
_VOLATILE = frozenset(
    {
        "date", "server", "connection", "keep-alive", "transfer-encoding", "content-length", "age", "via", "etag",
        "last-modified", "expires", "set-cookie", "x-request-id", "x-correlation-id", "traceparent", "tracestate",
        "x-envoy-upstream-service-time", "l5d-proxy-error", "l5d-server-id",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What came back now."""

    status: int
    headers: Headers
    body: bytes
    latency: float  # milliseconds
    whole: bool


@dataclass
class Outcome:
    """One request sent again."""

    recorded: Recorded
    answer: Answer | None = None
    error: str = ""
    differences: list[str] = field(default_factory=list)


class Replayer:
    """Sends to one address."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[_Connection] = []

    async def check(self) -> None:
        """Connect once, before anything is sent. Raises InterceptorError where nobody listens."""
        try:
            async with asyncio.timeout(CONNECT_TIME):
                self._idle.append(await _Connection.open(self._host, self._port))
        except OSError as error:  # a TimeoutError too
            why = error.strerror or str(error) or f"no connection within {CONNECT_TIME:.0f} s"
            hint = "start your process, or say where it is with --to HOST:PORT"
            raise InterceptorError(f"nobody answers at {self._host}:{self._port}: {why}", hint=hint) from error

    async def send(self, recorded: Recorded) -> Outcome:
        """Send one request and wait for its answer."""
        outcome = Outcome(recorded)
        try:
            async with asyncio.timeout(ANSWER_TIME):
                outcome.answer = await self._exchange(_request(recorded, f"{self._host}:{self._port}"))
        except TimeoutError:
            outcome.error = f"no answer within {ANSWER_TIME:.0f} s"
        except OSError as error:
            outcome.error = error.strerror or str(error)
        except NoAnswer as error:
            outcome.error = str(error)
        else:
            outcome.differences = differences(recorded, outcome.answer)
        return outcome

    async def _exchange(self, request: bytes) -> Answer:
        if self._idle:
            connection = self._idle.pop()
            try:
                return await self._on(connection, request)
            except (NoAnswer, OSError):  # the server closed it meanwhile: that is its right
                pass
        return await self._on(await _Connection.open(self._host, self._port), request)

    async def _on(self, connection: _Connection, request: bytes) -> Answer:
        try:
            answer = await connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is kept open."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()


class NoAnswer(Exception):
    """The connection ended without one, or with something else."""


class _Connection:
    """One connection, watched by ourselves: see `http.exchange.Listener`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._watch = Watch(self)
        self._ended: list[Exchange] = []
        self._why = ""
        self.reusable = True

    @classmethod
    async def open(cls, host: str, port: int) -> _Connection:
        """Connect. Raises OSError."""
        return cls(*await asyncio.open_connection(host, port))

    async def exchange(self, request: bytes) -> Answer:
        """Send a request, read its answer to the end."""
        self._ended.clear()
        began = time.monotonic()
        self._watch.requested(memoryview(request), began)
        self._writer.write(request)
        with contextlib.suppress(ConnectionError):  # it may have answered already, and closed
            await self._writer.drain()
        while not self._ended and not self._why:
            data = await self._reader.read(_READ)
            if data:
                self._watch.responded(memoryview(data), time.monotonic())
            else:
                self.reusable = False
                self._watch.response_side_ended(time.monotonic())
                self._watch.closed(time.monotonic())
                break
        if not self._ended or not self._ended[0].status or self._why:
            raise NoAnswer(self._why or "the connection was closed without an answer")
        found = self._ended[0]
        body = bytes(found.response_body or b"")
        self.reusable &= ("connection", "close") not in found.response_headers and found.protocol == "HTTP/1.1"
        assert found.answered is not None
        whole = not found.cancelled and len(body) == found.response_size
        latency = (found.answered - began) * 1000
        return Answer(found.status, found.response_headers, body, latency, whole)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    def begun(self, exchange: Exchange) -> None:
        """See Listener."""
        exchange.keep = MOST_KEPT

    def answered(self, exchange: Exchange) -> None:
        """See Listener."""

    def ended(self, exchange: Exchange) -> None:
        """See Listener."""
        self._ended.append(exchange)

    def opaque(self, why: str) -> None:
        """See Listener."""
        self._why = f"the answer can't be read: {why}"


def _request(recorded: Recorded, to: str) -> bytes:
    lines = [f"{recorded.method} {recorded.path or '/'} HTTP/1.1", f"host: {recorded.authority or to}"]
    lines += [f"{name}: {value}" for name, value in recorded.headers]
    if recorded.body or recorded.method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(recorded.body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + recorded.body


def differences(recorded: Recorded, answer: Answer) -> list[str]:
    """What is not as it was, in words."""
    found = []
    if answer.status != recorded.status:
        found.append(f"status: {recorded.status} -> {answer.status}")
    before, after = _comparable(recorded.answer_headers), _comparable(answer.headers)
    found += [
        f"header {name}: {', '.join(before.get(name, ['-']))} -> {', '.join(after.get(name, ['-']))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    if recorded.answer is not None and answer.whole and recorded.method != "HEAD":
        found += _body_differences(recorded.answer, answer.body)
    if len(found) > MOST_DIFFERENCES:
        found[MOST_DIFFERENCES:] = [f"and {len(found) - MOST_DIFFERENCES} more"]
    return found


def _comparable(headers: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name not in _VOLATILE and "***" not in value:
            found.setdefault(name, []).append(value)
    return found


def _body_differences(before: bytes, after: bytes) -> list[str]:
    if before == after:
        return []
    try:
        one, two = json.loads(before), json.loads(after)
    except ValueError:
        return [
            f"body: {len(before)} -> {len(after)} bytes, the first difference at {_first_difference(before, after)}"
        ]
    return list(json_differences(one, two, "body"))


def json_differences(one: Any, two: Any, where: str) -> Iterable[str]:
    """Where two JSON values differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        for name in [*one, *(name for name in two if name not in one)]:
            place = f"{where}.{name}"
            if name not in two:
                yield f"{place}: {_short(one[name])} -> missing"
            elif name not in one:
                yield f"{place}: missing -> {_short(two[name])}"
            else:
                yield from json_differences(one[name], two[name], place)
    elif isinstance(one, list) and isinstance(two, list):
        for index, (left, right) in enumerate(zip(one, two, strict=False)):
            yield from json_differences(left, right, f"{where}[{index}]")
        if len(one) != len(two):
            yield f"{where}: {len(one)} -> {len(two)} items"
    elif one != two or type(one) is not type(two):
        yield f"{where}: {_short(one)} -> {_short(two)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _first_difference(before: bytes, after: bytes) -> int:
    return next(
        (index for index, (left, right) in enumerate(zip(before, after, strict=False)) if left != right),
        min(len(before), len(after)),
    )
